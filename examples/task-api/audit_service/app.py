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
FILE = Path(os.environ.get("AUDIT_FILE", "../data/audit.jsonl"))

app = FastAPI(title="audit service")
dapr = DaprApp(app)
lock = threading.Lock()


def known() -> set[str]:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    # The last line may be cut, where a crash came in between; its event comes again.
    return {json.loads(line)["event_id"] for line in lines if line.endswith("}")}


seen = known()
delivered = 0


@dapr.subscribe(pubsub=PUBSUB, topic=TOPIC, route="/events/tasks")
def happened(envelope: Annotated[dict, Body()]) -> dict:
    global delivered
    event = envelope["data"]
    with lock:
        delivered += 1
        if event["event_id"] not in seen:
            with FILE.open("a") as file:
                file.write(json.dumps(event) + "\n")
                file.flush()
                os.fsync(file.fileno())
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
