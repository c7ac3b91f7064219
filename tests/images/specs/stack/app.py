"""An agent that counts what it was asked, in Redis, through the building blocks; standard library alone."""

import http.server
import json
import os
import time
import urllib.request

STATE = f"http://127.0.0.1:{os.environ.get('DAPR_HTTP_PORT', '3500')}/v1.0/state/tallies"


def counted():
    """One more than before."""
    with urllib.request.urlopen(f"{STATE}/asked", timeout=10) as answer:
        count = int(answer.read() or 0) + 1
    body = json.dumps([{"key": "asked", "value": count}]).encode()
    with urllib.request.urlopen(urllib.request.Request(STATE, body, {"content-type": "application/json"}), timeout=10):
        return count


class Agent(http.server.BaseHTTPRequestHandler):
    """The two endpoints that Mainstay asks of an app, and its health."""

    def begin(self, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()

    def do_GET(self):
        self.begin("text/plain")

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/invoke":
            count = counted()
            self.begin("application/json")
            self.wfile.write(json.dumps({"answer": f"{count}: {question['query']}"}).encode())
            return
        self.begin("text/event-stream")
        # As long as it takes to be told to stop meanwhile.
        for number in range(40):
            self.wfile.write(f"data: {json.dumps({'token': f'word{number} '})}\n\n".encode())
            time.sleep(0.05)
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_):
        """Says nothing."""


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Agent).serve_forever()
