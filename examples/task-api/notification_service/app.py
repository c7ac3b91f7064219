"""The notification service: takes notifications by invocation, and listens to what happens to tasks.

A notification here is a line in a file. Messages come at least once, so each is taken once by its event's id.
"""

import json
import os
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import uvicorn
from dapr.clients import DaprClient
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI, Header, HTTPException

PUBSUB = os.environ.get("PUBSUB", "pubsub")
TOPIC = os.environ.get("TOPIC", "task-events")
SECRETS = os.environ.get("SECRETS", "secrets")
TOKEN = os.environ.get("TOKEN", "notification-token")


class Lines:
    """A file that lines are added to and never taken from, one for each id."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.ids: set[str] = set()
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                self.ids.add(json.loads(line)["id"])
            except ValueError:  # a crash or a full disk has cut it; its event comes again
                pass

    def add(self, id: str, line: dict) -> bool:
        """Returns when the line is on the disk; whether it is new. The folder must be there."""
        with self.lock:
            if id in self.ids:
                return False
            with self.path.open("ab+") as file:
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read() != b"\n":  # the last line was cut
                        file.write(b"\n")
                file.write(json.dumps({"id": id} | line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self.ids.add(id)
            return True


DATA = Path(__file__).resolve().parent.parent / "data"
lines = Lines(Path(os.environ.get("NOTIFICATIONS_FILE", DATA / "notifications.jsonl")))
token: list[str] = []


@asynccontextmanager
async def life(_: FastAPI):
    with DaprClient() as client:
        token.append(client.get_secret(SECRETS, TOKEN).secret[TOKEN])
    yield


app = FastAPI(title="notification service", lifespan=life)
dapr = DaprApp(app)


@app.post("/notify")
def notify(event: Annotated[dict, Body()], x_notification_token: Annotated[str, Header()] = "") -> dict:
    if x_notification_token != token[0]:
        raise HTTPException(403, "who are you?")
    new = lines.add(f"notify {event['event_id']}", {"way": "invoked", "event": event})
    return {"notified": new}


@dapr.subscribe(pubsub=PUBSUB, topic=TOPIC, route="/events/tasks")
def happened(envelope: Annotated[dict, Body()]) -> dict:
    event = envelope["data"]
    lines.add(event["event_id"], {"way": "subscribed", "event": event})
    return {"status": "SUCCESS"}


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
