# SPDX-License-Identifier: BSD-2-Clause
"""A small HTTP server: /page/N answers with N bytes, what is not there with 404, all as it is asked for. Writes "METHOD path
status" of each request to standard output. Arguments: a port and a file that is made when it listens; SIGTERM ends it."""
import http.server
import os
import signal
import sys
import threading


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        found = path.startswith("/page/")
        body = b"x" * int(path[6:]) if found else b"none"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        os.write(1, f"GET {path} {200 if found else 404}\n".encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Pages)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
with open(sys.argv[2], "w", encoding="ascii"):
    pass
server.serve_forever()
