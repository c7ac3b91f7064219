"""The audit service: writes down every event of the topic, once, in the order it comes, in a file that only grows.

An event is acknowledged when its line is on the disk: what cannot be written is delivered again.
"""

import json
import os
import threading
from pathlib import Path
from typing import Annotated

import uvicorn
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI

PUBSUB = os.environ.get("PUBSUB", "pubsub")
TOPIC = os.environ.get("TOPIC", "task-events")
DATA = Path(__file__).resolve().parent.parent / "data"
FILE = Path(os.environ.get("AUDIT_FILE", DATA / "audit.jsonl"))

app = FastAPI(title="audit service")
dapr = DaprApp(app)
lock = threading.Lock()


def known() -> set[str]:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    ids = set()
    for line in FILE.read_text().splitlines() if FILE.exists() else []:
        try:
            ids.add(json.loads(line)["event_id"])
        except ValueError:  # a crash or a full disk has cut it; its event comes again
            pass
    return ids


def write(event: dict) -> None:
    """Returns when the event's line is on the disk."""
    with FILE.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":  # the last line was cut
                file.write(b"\n")
        file.write(json.dumps(event).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


seen = known()
delivered = 0


@dapr.subscribe(pubsub=PUBSUB, topic=TOPIC, route="/events/tasks")
def happened(envelope: Annotated[dict, Body()]) -> dict:
    global delivered
    event = envelope["data"]
    with lock:
        delivered += 1
        if event["event_id"] not in seen:
            write(event)
            seen.add(event["event_id"])
    return {"status": "SUCCESS"}


@app.get("/audit")
def audit() -> dict:
    """How many events were written, ever, and how many deliveries this process has had."""
    return {"events": len(seen), "delivered": delivered}


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
