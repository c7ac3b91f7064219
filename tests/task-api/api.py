"""Checks of the API, and of what the apps are made of."""

import concurrent.futures
import json
import re
import tomllib

from service import APPS, EXAMPLE, SETS, Service, kinds, until


def all_services_are_ready_each_with_its_sidecar(service: Service) -> None:
    listed = {one["appId"]: one for one in json.loads(service.command("list", "-o", "json").stdout)}
    assert set(listed) == set(APPS), listed
    for app in APPS:
        assert "dapr initialized" in service.log_of(app, "daprd")
        assert service.ask("GET", "/health", app=app).status == 200
        for path in ("/v1.0/healthz", "/v1.0/healthz/outbound"):
            assert service.sidecar(app, "GET", path).status == 204, (app, path)


def tasks_are_created_read_changed_and_deleted(service: Service) -> None:
    made = service.create("pack", priority=5)
    assert (made["status"], made["priority"]) == ("pending", 5)
    path = f"/tasks/{made['task_id']}"
    read = service.ask("GET", path)
    assert read.status == 200 and read.json() == made, (read.status, read.body)
    kept = f"/v1.0/state/statestore/task-{made['task_id']}"
    assert service.sidecar("task-service", "GET", kept).json() == made
    # The store is the task service's: of the others' sidecars none has it.
    assert service.sidecar("audit-service", "GET", kept).status == 500
    changed = service.ask("PUT", path, {"title": "unpack", "priority": 1})
    assert (changed.status, changed.json()["title"]) == (200, "unpack")
    assert service.set_status(made, "in_progress").json()["status"] == "in_progress"
    assert service.ask("DELETE", path).status == 204
    for method in ("GET", "DELETE"):
        assert service.ask(method, path).status == 404
    assert service.ask("PUT", path, {"title": "pack"}).status == 404
    assert service.set_status(made, "completed").status == 404
    assert service.sidecar("task-service", "GET", kept).status == 204


def what_is_no_task_is_refused(service: Service) -> None:
    task = service.create("x" * 200)
    assert task["title"] == "x" * 200
    for body in ({}, {"title": ""}, {"title": "x" * 201}, {"title": "x", "priority": 0}, {"title": "x", "priority": 6}):
        assert service.ask("POST", "/tasks", body).status == 422, body
        assert service.ask("PUT", f"/tasks/{task['task_id']}", body).status == 422, body
    assert service.set_status(task, "done").status == 422
    assert service.ask("GET", f"/tasks/{task['task_id']}").json() == task


def the_first_writer_wins_and_its_event_is_the_only_one(service: Service) -> None:
    task = service.create()
    path = f"/tasks/{task['task_id']}"
    etag = service.ask("GET", path).headers["etag"]
    assert service.set_status(task, "in_progress", {"if-match": etag}).status == 200
    late = service.set_status(task, "completed", {"if-match": etag})
    assert late.status == 409, (late.status, late.body)
    assert service.ask("DELETE", path, headers={"if-match": etag}).status == 409
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        fresh = service.ask("GET", path).headers["etag"]
        change = lambda n: service.ask("PUT", path, {"title": f"t{n}"}, headers={"if-match": fresh})
        statuses = sorted(answer.status for answer in pool.map(change, range(8)))
    assert statuses == [200] + [409] * 7, statuses
    # And without a word of the client's the version counts that the service itself has read.
    assert service.ask("PUT", path, {"title": "the last"}).status == 200
    until("the last is told", lambda: len(service.audited(task)) >= 4)
    told = service.audited(task)
    assert kinds(told) == ["task.created", "task.updated", "task.updated", "task.updated"], told
    assert told[-1]["data"]["title"] == "the last"


def what_the_store_does_not_answer_is_503_until_it_is_back(service: Service) -> None:
    if "state" not in service.servers.ports:
        service.say("(the store is inside the runtime, and never away from it)")
        return
    task = service.create("kept")
    path, title = f"/tasks/{task['task_id']}", {"title": "lost"}
    calls = [
        ("GET", path, None),
        ("POST", "/tasks", title),
        ("PUT", path, title),
        ("PUT", f"{path}/status?status=in_progress", None),
        ("DELETE", path, None),
    ]
    service.servers.order("stop state")
    try:
        for method, where, body in calls:
            answer = service.ask(method, where, body)
            assert answer.status == 503, (method, where, answer.status, answer.body)
        # The app is well; its sidecar says which component is not.
        assert service.ask("GET", "/health").status == 200
        ready = service.sidecar("task-service", "GET", "/ready")
        down = [one["name"] for one in ready.json()["components"] if one["status"] != "up"]
        assert (ready.status, down) == (503, ["statestore"]), ready.body
    finally:
        service.servers.order("start state")
    until("the store is back", lambda: service.sidecar("task-service", "GET", "/ready").status == 200)
    assert service.ask("GET", path).json() == task
    assert service.ask("PUT", path, {"title": "found"}).status == 200
    until("what was kept is told, and what was lost is not", lambda: len(service.audited(task)) >= 2)
    assert kinds(service.audited(task)) == ["task.created", "task.updated"], service.audited(task)


def who_does_not_know_the_secret_notifies_nobody(service: Service) -> None:
    secret = service.sidecar("notification-service", "GET", "/v1.0/secrets/secrets/notification-token").json()
    event = {"event_id": "of nobody", "event_type": "task.completed", "occurred_at": "", "data": {"task_id": ""}, "metadata": {}}
    notify = lambda headers: service.sidecar(
        "audit-service", "POST", "/v1.0/invoke/notification-service/method/notify", event, headers
    )
    assert notify({}).status == 403
    assert notify({"x-notification-token": "a guess"}).status == 403
    assert not any(line["id"] == "notify of nobody" for line in service.lines("notifications.jsonl"))
    told = notify({"x-notification-token": secret["notification-token"]})
    assert (told.status, told.json()) == (200, {"notified": True})
    again = notify({"x-notification-token": secret["notification-token"]})
    assert (again.status, again.json()) == (200, {"notified": False})


def the_apps_know_the_sidecar_alone(service: Service) -> None:
    if service.twin == "python":
        clients = re.compile(
            r"^\s*(import|from) (redis|kafka|confluent_kafka|aiokafka|psycopg\w*|asyncpg|requests|httpx|aiohttp|urllib)\b", re.M
        )
        for source in EXAMPLE.glob("*_service/*.py"):
            assert "dapr" in source.read_text() and not clients.search(source.read_text()), source
        return
    manifest = tomllib.loads((EXAMPLE / "rust/Cargo.toml").read_text())
    known = {"axum", "jiff", "reqwest", "serde", "serde_json", "tokio", "uuid"}
    assert set(manifest["dependencies"]) == known, "none is a client of a store or of a broker"
    # Its one HTTP client is the one that speaks to the sidecar beside it.
    with_client = [path.name for path in (EXAMPLE / "rust").glob("*/*.rs") if "reqwest" in path.read_text()]
    assert with_client == ["sidecar.rs"], with_client
    client = (EXAMPLE / "rust/src/sidecar.rs").read_text()
    assert re.findall(r"https?://[^/\"]*", client) == ["http://127.0.0.1:{}"], "it calls its sidecar alone"


def another_backend_is_other_component_files_and_nothing_else(service: Service) -> None:
    folder = EXAMPLE / ("rust" if service.twin == "rust" else ".")
    texts = {(folder / f"run-{name}.yaml").read_text().replace(name, "SET") for name in SETS}
    assert len(texts) == 1, "the run files differ in more than the folder of the components"
    files = {tuple(sorted(path.name for path in (EXAMPLE / "components" / name).iterdir())) for name in SETS}
    assert files == {("pubsub.yaml", "secrets.yaml", "statestore.yaml")}, files


def it_ends_with_0(service: Service) -> None:
    assert service.stop() == 0, service.logs()
