"""The task service: create, read, change and delete tasks, and tell what happened on a topic.

It knows the Dapr SDK and nothing else of the outside: where tasks and events go is said by component files. Events go through the
outbox of the state store, so a crash loses none.
"""

import json
import logging
import os
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal

import uvicorn
from dapr.clients import DaprClient
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.ext.fastapi import DaprApp
from fastapi import Body, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from grpc import RpcError
from pydantic import BaseModel, Field

APP = "task-service"
STORE = os.environ.get("STORE", "statestore")
PUBSUB = os.environ.get("PUBSUB", "pubsub")
TOPIC = os.environ.get("TOPIC", "task-events")
SECRETS = os.environ.get("SECRETS", "secrets")
TOKEN = os.environ.get("TOKEN", "notification-token")
NOTIFICATIONS = os.environ.get("NOTIFICATIONS", "notification-service")

log = logging.getLogger(APP)
Status = Literal["pending", "in_progress", "completed"]
IfMatch = Annotated[str | None, Header()]
Correlation = Annotated[str | None, Header(alias="x-correlation-id")]


class Draft(BaseModel):
    """What a client says of a task."""

    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=2000)
    priority: int = Field(default=3, ge=1, le=5)
    owner_id: str | None = Field(default=None, max_length=100)


class Task(Draft):
    """A task as it is kept, under the key `task-ID`."""

    task_id: str
    status: Status = "pending"
    created_at: str
    updated_at: str


class Sidecar:
    """The one client of this process, and the secret it shares with the notification service."""

    client: DaprClient
    token: str


sidecar = Sidecar()


@asynccontextmanager
async def life(_: FastAPI):
    sidecar.client = DaprClient()
    sidecar.token = sidecar.client.get_secret(SECRETS, TOKEN).secret[TOKEN]
    yield
    sidecar.client.close()


app = FastAPI(title="Task API", lifespan=life)
dapr = DaprApp(app)


@app.exception_handler(RpcError)
async def out_of_reach(_: Request, error: RpcError) -> JSONResponse:
    """The sidecar, or what is behind it, did not say yes."""
    log.error("a call of the sidecar failed: %s", error)
    return JSONResponse({"detail": "the store cannot be reached"}, 503)


def key(task_id: str) -> str:
    return f"task-{task_id}"


def now() -> str:
    return datetime.now(UTC).isoformat()


def event_of(kind: str, task: Task, correlation: str | None) -> dict:
    return {
        "event_id": str(uuid.uuid4()),
        "event_type": kind,
        "occurred_at": now(),
        "data": task.model_dump(include={"task_id", "title", "status", "priority", "owner_id"}),
        "metadata": {"correlation_id": correlation or str(uuid.uuid4()), "source": APP},
    }


def read(task_id: str) -> tuple[Task, str]:
    """The task and its etag. Errors: 404."""
    found = sidecar.client.get_state(STORE, key(task_id))
    if not found.data:
        raise HTTPException(404, f"there is no task {task_id}")
    return Task.model_validate_json(found.data), found.etag


def read_for_change(task_id: str, if_match: str | None) -> tuple[Task, str]:
    """The same, for a change that rests on the version the client has seen, if it says which. Errors: 404, 409."""
    task, etag = read(task_id)
    if if_match is not None and if_match.strip('"') != etag:
        raise HTTPException(409, "somebody else has changed the task since you read it")
    return task, etag


def transact(task_id: str, operations: list, etag: str | None) -> None:
    """Errors: 409 when the task is no longer what the change rests on, 503 when the store cannot be reached."""
    try:
        sidecar.client.execute_state_transaction(STORE, operations)
    except RpcError as error:
        # A transaction that fails does not say why; whether the task has moved on does.
        if etag is not None and read(task_id)[1] != etag:
            raise HTTPException(409, "somebody else has changed the task meanwhile") from error
        log.error("the store refused: %s", error)
        raise HTTPException(503, "the task could not be stored") from error


def commit(task: Task, event: dict, etag: str | None = None) -> None:
    """Stores a task and what happened to it, in one transaction: both or neither. The second operation is never made: it is what
    the store's outbox publishes for the first, whose metadata are the envelope's."""
    stored = TransactionalStateOperation(
        key=key(task.task_id),
        data=task.model_dump_json(),
        etag=etag,
        metadata={"type": event["event_type"], "partitionKey": task.task_id},
    )
    told = TransactionalStateOperation(
        key=key(task.task_id),
        data=json.dumps(event),
        metadata={"outbox.projection": "true", "contentType": "application/json"},
    )
    transact(task.task_id, [stored, told], etag)


@app.post("/tasks", status_code=201)
def create(draft: Draft, correlation: Correlation = None) -> Task:
    at = now()
    task = Task(**draft.model_dump(), task_id=uuid.uuid4().hex, created_at=at, updated_at=at)
    commit(task, event_of("task.created", task, correlation))
    return task


@app.get("/tasks/{task_id}")
def show(task_id: str, response: Response) -> Task:
    task, etag = read(task_id)
    response.headers["etag"] = f'"{etag}"'
    return task


@app.put("/tasks/{task_id}")
def change(task_id: str, draft: Draft, if_match: IfMatch = None, correlation: Correlation = None) -> Task:
    task, etag = read_for_change(task_id, if_match)
    task = task.model_copy(update=draft.model_dump() | {"updated_at": now()})
    commit(task, event_of("task.updated", task, correlation), etag)
    return task


@app.put("/tasks/{task_id}/status")
def set_status(
    task_id: str, status: Annotated[Status, Query()], if_match: IfMatch = None, correlation: Correlation = None
) -> Task:
    """One change, one event: completing publishes `task.completed` and no `task.updated`; a status that the task has
    already changes nothing and publishes nothing, so a task is completed once however often it is said."""
    task, etag = read_for_change(task_id, if_match)
    if task.status == status:
        return task
    task = task.model_copy(update={"status": status, "updated_at": now()})
    kind = "task.completed" if status == "completed" else "task.updated"
    commit(task, event_of(kind, task, correlation), etag)
    return task


@app.delete("/tasks/{task_id}", status_code=204)
def delete(task_id: str, if_match: IfMatch = None) -> None:
    _, etag = read_for_change(task_id, if_match)
    gone = TransactionalStateOperation(
        key=key(task_id), etag=etag, operation_type=TransactionOperationType.delete
    )
    transact(task_id, [gone], etag)


@app.get("/health")
def health() -> dict:
    return {"status": "ok"}


@dapr.subscribe(pubsub=PUBSUB, topic=TOPIC, route="/events/tasks")
def happened(envelope: Annotated[dict, Body()]) -> dict:
    """Tells the notification service of every task that is completed. What it does not take is delivered again."""
    event = envelope["data"]
    if event["event_type"] != "task.completed":
        return {"status": "SUCCESS"}
    try:
        sidecar.client.invoke_method(
            NOTIFICATIONS,
            "notify",
            data=json.dumps(event),
            http_verb="POST",
            content_type="application/json",
            metadata=(("x-notification-token", sidecar.token),),
        )
    except Exception as error:  # whatever kept it from being told, it must be told again
        log.warning("the notification service was not told: %s", error)
        return {"status": "RETRY"}
    return {"status": "SUCCESS"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["APP_PORT"]), log_level="warning")
