# SPDX-License-Identifier: BSD-2-Clause
"""An HTTP server and a client of it, over a connection that is kept: paths, chunks, JSON-RPC in bodies, and bodies that are
long, with the next head behind them in the same call. The client
writes what it asked for and what it got to the file `ledger`: (name, status, trace id)."""
import http.client
import http.server
import json
import os
import sys

ROUNDS = 10
LONG = 10000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body, **fields):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **fields}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/chunks"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        elif self.path.startswith("/long"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % LONG + b"x" * LONG +
                             b"\r\n0\r\n\r\n")
        else:
            self.answer(404 if self.path.startswith("/none") else 200, b"x" * 2000)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/put":
            self.answer(201, b"")
            return
        call = json.loads(body)
        result = {"result": call["params"]} if call["method"] == "echo" else {"error": {"code": -32601, "message": "no"}}
        body = json.dumps({"jsonrpc": "2.0", "id": call["id"], **result}).encode()
        self.answer(200, body, Content_Type="application/json")


class Client:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.ledger = []

    def ask(self, method, target, body=None, fields={}):
        self.connection.request(method, target, body, fields)
        reply = self.connection.getresponse()
        return reply.status, reply.read()

    def get(self, method, path):
        status, _ = self.ask(method, path + "?secret=1")
        self.ledger.append((f"{method} {path}", str(status), None))

    def traced(self):
        status, _ = self.ask("GET", "/traced", fields={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        self.ledger.append(("GET /traced", str(status), TRACE))

    def two_at_once(self):
        head = b"POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LONG
        self.connection.sock.sendall(head + b"x" * LONG + b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n")
        replies = self.connection.sock.makefile("rb")
        for name in "POST /put", "GET /behind":
            status = replies.readline().split()[1].decode()
            replies.read(int(http.client.parse_headers(replies)["Content-Length"]))
            self.ledger.append((name, status, None))

    def call(self, number, method):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": ["ü"] * 10, "id": number})
        _, text = self.ask("POST", "/rpc", body, {"Content-Type": "application/json"})
        error = json.loads(text).get("error")
        self.ledger.append((method, str(error["code"]) if error else "200", None))


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
child = os.fork()
if not child:
    server.handle_request()
    sys.exit()
client = Client(server.server_port)
server.server_close()
for i in range(ROUNDS):
    client.get("GET", "/a")
    client.get("GET", "/chunks")
    client.get("GET", "/long")
    client.get("GET", "/none")
    client.traced()
    client.call(i, "echo")
    client.call(i, "missing")
    client.two_at_once()
client.connection.close()
os.waitpid(child, 0)
with open("ledger", "w", encoding="utf-8") as file:
    json.dump(client.ledger, file)
