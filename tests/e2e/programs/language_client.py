# SPDX-License-Identifier: BSD-2-Clause
"""Talks to clangd over its standard input and output, as an editor does, and writes each message that it sent or got to
the file `ledger`: (sent, kind, id, method or error's code)."""
import json
import subprocess

ROUNDS = 10
TEXT = "int twice(int a) { return 2 * a; }\nint main(void) { return twice(0); }\n"
DOCUMENT = {"uri": "file:///nowhere/x.c"}


class Server:
    def __init__(self):
        self.child = subprocess.Popen(["clangd", "--log=error", "-j=1", "--background-index=0"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.ledger = []

    def note(self, sent, message):
        error = message.get("error", {}).get("code")
        kind = "reply" if "method" not in message else "call" if "id" in message else "oneway"
        self.ledger.append((sent, kind, message.get("id"), message.get("method", error)))

    def send(self, method, params, **number):
        message = {"jsonrpc": "2.0", "method": method, "params": params, **number}
        body = json.dumps(message).encode()
        self.child.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.child.stdin.flush()
        self.note(True, message)

    def get(self):
        """The next message, or None at the end."""
        size = 0
        while (line := self.child.stdout.readline()).strip():
            name, value = line.split(b":")
            if name.lower() == b"content-length":
                size = int(value)
        if not size:
            return None
        message = json.loads(self.child.stdout.read(size))
        self.note(False, message)
        return message

    def call(self, number, method, params):
        self.send(method, params, id=number)
        while self.get().get("id") != number:
            pass


server = Server()
server.call(0, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
server.send("initialized", {})
server.send("textDocument/didOpen", {"textDocument": {**DOCUMENT, "languageId": "c", "version": 1, "text": TEXT}})
for i in range(ROUNDS):
    place = {"textDocument": DOCUMENT, "position": {"line": i % 2, "character": 5}}
    server.call(f"hover {i}", "textDocument/hover", place)
    server.call(i + 1, "textDocument/documentSymbol", {"textDocument": DOCUMENT})
server.call(100, "no/such/method", {})
server.call(101, "shutdown", None)
server.send("exit", None)
while server.get():
    pass
server.child.wait()
with open("ledger", "w", encoding="utf-8") as file:
    json.dump(server.ledger, file)
