// SPDX-License-Identifier: BSD-2-Clause
#include "environment.h"
#include "readable.h"
#include "text.h"

static const char preload_name[] = "LD_PRELOAD=", ours_name[] = "IPCTRACE=";
enum { NUMBER_MAX = 20 };

/* NULL: there is none. */
static const char *preload_of(char *const *envp)
{
	for (; envp && *envp; envp++)
		if (text_after(*envp, preload_name))
			return text_after(*envp, preload_name);
	return NULL;
}

/* Only the names are looked at, but for the list of other preloads. */
bool environment_is_readable(char *const *envp)
{
	uintptr_t array = 0, page = 0;
	for (; envp; envp++) {
		if ((uintptr_t)envp / READABLE_PAGE + 1 != array && !readable(envp, sizeof(*envp)))
			return false;
		array = (uintptr_t)envp / READABLE_PAGE + 1;
		if ((uintptr_t)envp % sizeof(*envp))
			array = 0; /* an entry may lie in two pages */
		if (!*envp)
			break;
		if (!readable_string(*envp, sizeof(preload_name), &page) ||
		    (text_after(*envp, preload_name) && !readable_string(*envp, UINT64_MAX, &page)))
			return false;
	}
	return true;
}

bool environment_is_traced(char *const *envp)
{
	for (; envp && *envp; envp++)
		if (text_after(*envp, ours_name))
			return true;
	return false;
}

size_t environment_size(char *const *envp, const struct environment *e)
{
	const char *before = preload_of(envp);
	size_t n = 0;
	while (envp && envp[n])
		n++;
	return (n + 3) * sizeof(char *) + sizeof(preload_name) + (before ? text_length(before) : 0) + 1 +
	       text_length(e->shim) + sizeof(ours_name) + text_length(e->arena) + 2 + NUMBER_MAX +
	       (e->more ? text_length(e->more) : 0) + 1;
}

/* Whether the colon-separated list's last element is `shim` (a program handed on what it got). */
static bool ends_in(const char *list, const char *shim)
{
	size_t n = text_length(list), k = text_length(shim);
	return n >= k && text_equal(list + n - k, shim) && (n == k || list[n - k - 1] == ':');
}

char **environment_write(void *memory, char *const *envp, const struct environment *e)
{
	char **out = memory;
	size_t n = 0, used = 0;
	while (envp && envp[n])
		n++;
	char *text = (char *)(out + n + 3), *const end = (char *)-1;
	const char *before = preload_of(envp);
	char *preload = text;
	text = text_put(text, end, preload_name);
	text = text_put(text, end, before ? before : "");
	if (!before || !ends_in(before, e->shim)) {
		if (before) /* an empty list too: it must be there again in the program */
			*text++ = ':';
		text = text_put(text, end, e->shim);
	}
	*text++ = '\0';
	char *ours = text;
	text = text_put(text, end, ours_name);
	text = text_put(text, end, e->arena);
	*text++ = ':';
	if (e->spawned)
		*text++ = SHIM_SPAWNED;
	text = text_put_number(text, e->image);
	*text_put(text, end, e->more ? e->more : "") = '\0';

	bool placed = false;
	for (size_t i = 0; i < n; i++) {
		if (text_after(envp[i], ours_name))
			continue;
		bool is_preload = text_after(envp[i], preload_name) != NULL;
		if (is_preload && placed)
			continue;
		out[used++] = is_preload ? preload : envp[i];
		placed |= is_preload;
	}
	if (!placed)
		out[used++] = preload;
	out[used++] = ours;
	out[used] = NULL;
	return out;
}
