"""A service that does everything wrong which `mainstay check --production --url` looks for.

Liveness asks a database that is dead, and readiness says the same and calls it ready; nobody is asked for a key, and nobody
asks too often; the documents show a secret; bodies and headers have no bounds; an address in a question is fetched; pages of
any origin may call with credentials; streams are no streams; a reader who leaves keeps its place; and an order to stop ends
everything at once. Standard library alone; the port is printed.
"""

import contextlib
import http.server
import json
import os
import re
import signal
import sys
import time
import urllib.request

SECRET = os.environ.get("BAD_SECRET", "hunter2-hunter2")
in_flight = 0

DOCUMENT = {
    "openapi": "2.0" if "--no-document" in sys.argv else "3.1.0",
    "info": {"title": "bad", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": {"200": {}}}},
        "/v1/invoke": {
            "post": {
                "requestBody": {"content": {"application/json": {}}},
                "responses": {"200": {"content": {"application/json": {}}}},
            }
        },
        "/v1/stream": {"post": {"responses": {"200": {"content": {"text/event-stream": {}}}}}},
        "/v1/sessions/{session}": {"get": {"responses": {"200": {}}}},
    },
    "x-mainstay-apps": [{"name": "ledger", "routes": ["/ledger"]}],
}


class Bad(http.server.BaseHTTPRequestHandler):
    """One answer for everything."""

    protocol_version = "HTTP/1.1"

    def say(self, status, text, kind="text/plain"):
        """Answers."""
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("access-control-allow-origin", self.headers.get("origin", "*"))
        self.send_header("access-control-allow-credentials", "true")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        """Probes that both ask the database, documents with a secret in them, numbers that are none."""
        if self.path in ("/health", "/ready"):
            self.say(503 if self.path == "/health" else 200, "the database does not answer")
        elif self.path == "/openapi.json":
            self.say(200, json.dumps(DOCUMENT), "application/json")
        elif self.path == "/metrics":
            self.say(200, f"mainstay_requests_in_flight {in_flight}\nuser {SECRET} asked\n")
        else:
            self.say(200, f"<h1>Docs</h1><code>DATABASE_PASSWORD={SECRET}</code>", "text/html")

    def do_POST(self):
        """Reads whatever comes, as slowly as it comes, and asks for no key."""
        global in_flight
        in_flight += 1
        body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode(errors="replace")
        if address := re.search(r'http://[^\s"]+', body):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address[0], timeout=2).read()
        if self.path == "/v1/stream":
            self.send_response(200)
            self.send_header("content-type", "application/x-ndjson")
            self.send_header("connection", "close")
            self.end_headers()
            try:
                for word in range(20):
                    self.wfile.write(f'{{"word": {word}}}\n'.encode())
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                # The reader has left; its place stays taken.
                return
        else:
            self.say(200, "Traceback (most recent call last): KeyError: 'query'")

    def do_DELETE(self):
        """Deletes nothing, and says so in no particular form."""
        self.say(500, "oops")

    def do_OPTIONS(self):
        """Lets every page call."""
        self.say(200, "")

    def log_message(self, *_):
        """Says nothing."""


signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
server.handle_error = lambda *_: None
print(server.server_address[1], flush=True)
server.serve_forever()
