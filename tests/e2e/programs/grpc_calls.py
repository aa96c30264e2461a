# SPDX-License-Identifier: BSD-2-Clause
"""A gRPC server and a client of it: `serve ADDRESS`, until its standard input ends; `call ADDRESS`, which writes what it
called and what came of it to the file `ledger`: (method, status)."""
import json
import sys
from concurrent import futures

import grpc

UNARY, AT_ONCE = 20, 20
LARGE = 100, 5000, 10000, 15000  # bytes: a call's frames are written at once, more than is told of what one call moves


def fail(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "not here")


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request * 2),
    "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
    "Down": grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request] * 5)),
    "Up": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"".join(requests)),
    "Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", METHODS)])
    server.add_insecure_port(address)
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.ledger = []
        grpc.channel_ready_future(self.channel).result()

    def note(self, method, call):
        self.ledger.append((f"/test.Service/{method}", call.code().name))

    def unary(self, method, request):
        call = self.channel.unary_unary(f"/test.Service/{method}").future(request)
        call.exception()
        self.note(method, call)

    def at_once(self, method, count):
        calls = [self.channel.unary_unary(f"/test.Service/{method}").future(b"x" * i) for i in range(count)]
        for call in calls:
            assert call.result() is not None
            self.note(method, call)

    def stream(self, method, call):
        assert len(list(call)) > 1
        self.note(method, call)

    def all(self):
        for i in range(UNARY):
            self.unary("Unary", b"x" * i)
        for size in LARGE:
            self.unary("Echo", b"x" * size)
        self.stream("Down", self.channel.unary_stream("/test.Service/Down")(b"y"))
        self.stream("Chat", self.channel.stream_stream("/test.Service/Chat")(iter([b"a", b"b", b"c"])))
        call = self.channel.stream_unary("/test.Service/Up").future(iter([b"a", b"b"]))
        assert call.result() == b"ab"
        self.note("Up", call)
        self.unary("Fail", b"")
        self.unary("Missing", b"")
        self.at_once("Unary", AT_ONCE)
        self.channel.close()


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    client = Client(sys.argv[2])
    client.all()
    with open("ledger", "w", encoding="utf-8") as file:
        json.dump(client.ledger, file)
