"""An app that subscribes by the SDK's FastAPI extension and writes down what it is sent."""

import json
import pathlib
import sys

import uvicorn
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI, Request

app = FastAPI()
dapr = DaprApp(app)
log = pathlib.Path(sys.argv[2])
failed = set()


def note(kind: str, event: dict) -> None:
    with log.open("a") as file:
        file.write(json.dumps({"kind": kind, "event": event}) + "\n")


@app.get("/health")
def health():
    return {}


@app.api_route("/echo/{name}", methods=["GET", "POST", "PUT"])
async def echo(name: str, request: Request):
    body = (await request.body()).decode()
    seen = {"method": request.method, "name": name, "query": dict(request.query_params), "body": body}
    return seen | {"caller": request.headers.get("dapr-caller-app-id")}


@app.post("/configuration/{store}/{key}")
async def configuration(store: str, key: str, request: Request):
    note("configuration", {"store": store, "key": key} | await request.json())


@app.post("/tick")
def tick(request: Request):
    note("tick", {"read": request.headers.get("readtimeutc")})
    return {
        "storeName": "orders",
        "state": [{"key": "ticked", "value": {"by": "http"}}],
        "to": ["files"],
        "data": "it went on",
    }


@app.post("/several")
def several(bulk=Body()):
    """Takes several messages at once; `later` is wanted again, the first time."""
    note("several", {"type": bulk["type"], "data": [entry["event"]["data"] for entry in bulk["entries"]]})

    def settled(entry):
        message = entry["event"]
        if message["data"] == "later" and message["id"] not in failed:
            failed.add(message["id"])
            return "RETRY"
        return "SUCCESS"

    return {"statuses": [{"entryId": entry["entryId"], "status": settled(entry)} for entry in bulk["entries"]]}


@dapr.subscribe(pubsub="bus", topic="orders", dead_letter_topic="dead")
def order(event=Body()):
    note("order", event)
    if event["data"] == {"poison": True}:
        return {"status": "DROP"}
    return {"status": "SUCCESS"}


@dapr.subscribe(pubsub="bus", topic="dead")
def dead(event=Body()):
    note("dead", event)


@dapr.subscribe(pubsub="bus", topic="raw", metadata={"rawPayload": "true"})
def raw(event=Body()):
    note("raw", event)


@dapr.subscribe(pubsub="bus", topic="retried")
def retried(event=Body()):
    note("retried", event)
    if event["id"] not in failed:
        failed.add(event["id"])
        return {"status": "RETRY"}
    return {"status": "SUCCESS"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
