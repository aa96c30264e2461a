// SPDX-License-Identifier: BSD-2-Clause
/* A D-Bus service, com.example.Echo: answers each call with an empty reply, or, if its method is Fail, an
 * error. Prints its unique name when it is there; SIGTERM ends it. */
#include <dbus/dbus.h>
#include <stdio.h>
#include <string.h>

static void answer(DBusConnection *bus, DBusMessage *call)
{
	int fails = !strcmp(dbus_message_get_member(call), "Fail");
	DBusMessage *reply = fails ? dbus_message_new_error(call, "com.example.Error.No", "no")
				   : dbus_message_new_method_return(call);

	dbus_connection_send(bus, reply, NULL);
	dbus_connection_flush(bus);
	dbus_message_unref(reply);
}

int main(void)
{
	DBusConnection *bus = dbus_bus_get_private(DBUS_BUS_SESSION, NULL);
	DBusMessage *message;

	if (!bus ||
	    dbus_bus_request_name(bus, "com.example.Echo", 0, NULL) != DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER)
		return 1;
	puts(dbus_bus_get_unique_name(bus));
	fflush(stdout);
	dbus_connection_set_exit_on_disconnect(bus, 0);
	while (dbus_connection_read_write(bus, -1))
		while ((message = dbus_connection_pop_message(bus))) {
			if (dbus_message_get_type(message) == DBUS_MESSAGE_TYPE_METHOD_CALL)
				answer(bus, message);
			dbus_message_unref(message);
		}
	return 0;
}
