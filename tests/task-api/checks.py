"""What the example promises, each as a check of a service at work. They are run in order, on one service."""

import concurrent.futures
import http.client
import json
import re
import shutil

from service import APPS, EXAMPLE, PATIENCE, Service, until

LOAD = 200
"""Tasks that are created at once where many are wanted."""


class NotRun(Exception):
    """A check that says nothing here."""


def kinds(events: list[dict]) -> list[str]:
    return [event["event_type"] for event in events]


def all_services_are_ready(service: Service) -> None:
    listed = {one["appId"]: one for one in json.loads(service.command("list", "-o", "json").stdout)}
    assert set(listed) == set(APPS), listed
    for app in APPS:
        assert "dapr initialized" in service.log_of(app, "daprd")


def tasks_are_created_read_changed_and_deleted(service: Service) -> None:
    made = service.create("pack", priority=5)
    assert (made["status"], made["priority"]) == ("pending", 5)
    read = service.ask("GET", f"/tasks/{made['task_id']}")
    assert read.status == 200 and read.json() == made, (read.status, read.body)
    changed = service.ask("PUT", f"/tasks/{made['task_id']}", {"title": "unpack", "priority": 1})
    assert (changed.status, changed.json()["title"]) == (200, "unpack")
    assert service.set_status(made, "in_progress").json()["status"] == "in_progress"
    assert service.ask("DELETE", f"/tasks/{made['task_id']}").status == 204
    for method in ("GET", "DELETE"):
        assert service.ask(method, f"/tasks/{made['task_id']}").status == 404
    assert service.set_status(made, "completed").status == 404


def what_is_no_task_is_refused(service: Service) -> None:
    for body in ({}, {"title": ""}, {"title": "x" * 201}, {"title": "x", "priority": 0}, {"title": "x", "priority": 6}):
        assert service.ask("POST", "/tasks", body).status == 422, body
    assert service.create("x" * 200)["title"] == "x" * 200
    assert service.set_status(service.create(), "done").status == 422


def the_first_writer_wins(service: Service) -> None:
    task = service.create()
    etag = service.ask("GET", f"/tasks/{task['task_id']}").headers["etag"]
    assert service.set_status(task, "in_progress", {"if-match": etag}).status == 200
    late = service.set_status(task, "completed", {"if-match": etag})
    assert late.status == 409, (late.status, late.body)
    assert service.ask("DELETE", f"/tasks/{task['task_id']}", headers={"if-match": etag}).status == 409
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        fresh = service.ask("GET", f"/tasks/{task['task_id']}").headers["etag"]
        change = lambda n: service.ask("PUT", f"/tasks/{task['task_id']}", {"title": f"t{n}"}, headers={"if-match": fresh})
        statuses = sorted(answer.status for answer in pool.map(change, range(8)))
    assert statuses == [200] + [409] * 7, statuses


def both_consumers_see_every_event_in_the_order_of_its_task(service: Service) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def life(n: int) -> dict:
            task = service.create(f"task {n}")
            assert service.set_status(task, "in_progress").status == 200
            assert service.set_status(task, "completed").status == 200
            return task

        tasks = list(pool.map(life, range(20)))
    order = ["task.created", "task.updated", "task.completed"]
    for task in tasks:
        until("it is audited", lambda: len(service.audited(task)) >= 3)
        assert kinds(service.audited(task)) == order, service.audited(task)
        until("the other group has it", lambda: len(service.notified("subscribed", task)) >= 3)
        assert kinds(service.notified("subscribed", task)) == order


def an_event_says_what_happened_and_where(service: Service) -> None:
    answer = service.ask("POST", "/tasks", {"title": "say so", "owner_id": "ada"}, headers={"x-correlation-id": "c-1"})
    task = answer.json()
    until("it is audited", lambda: service.audited(task) != [])
    event = service.audited(task)[0]
    assert set(event) == {"event_id", "event_type", "occurred_at", "data", "metadata"}, event
    assert (event["data"]["title"], event["data"]["owner_id"], event["data"]["status"]) == ("say so", "ada", "pending")
    assert event["metadata"] == {"correlation_id": "c-1", "source": "task-service"}


def completing_is_told_once_and_invokes_the_notification_service(service: Service) -> None:
    task = service.create()
    for _ in range(3):
        assert service.set_status(task, "completed").status == 200
    until("it is audited", lambda: len(service.audited(task)) >= 2)
    until("the service is invoked", lambda: service.notified("invoked", task) != [])
    # What came after it has come, so nothing more of this task is on its way.
    last = service.create()
    until("the next is audited", lambda: service.audited(last) != [])
    assert kinds(service.audited(task)) == ["task.created", "task.completed"]
    assert kinds(service.notified("invoked", task)) == ["task.completed"]


def an_event_is_committed_when_it_is_written_and_not_before(service: Service) -> None:
    aside = service.folder / "aside"
    shutil.move(service.data, aside)
    task = service.create("while there is no disk")
    until("the audit was tried", lambda: "failed on a message" in service.log_of("audit-service", "daprd"))
    service.data.mkdir(exist_ok=True)
    for file in aside.iterdir():
        shutil.move(file, service.data / file.name)
    until("it is audited", lambda: service.audited(task) != [])
    assert kinds(service.audited(task)) == ["task.created"]


def a_load_is_worked_off(service: Service) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tasks = list(pool.map(lambda n: service.create(f"load {n}"), range(LOAD)))
    wanted = {task["task_id"] for task in tasks}
    seen = lambda events: wanted <= {event["data"]["task_id"] for event in events}
    until("all are audited", lambda: seen(service.audited()))
    until("the other group has all", lambda: seen(service.notified("subscribed")))
    if service.set == "postgres-kafka":
        import kafka_lag

        for group in ("audit-service", "notification-service"):
            until(f"the lag of {group} is small", lambda: kafka_lag.of(service, group) < 100)


def a_restart_goes_on_where_it_was(service: Service) -> None:
    before = len(service.audited())
    stopped = service.command("stop", "--app-id", "audit-service")
    assert stopped.returncode == 0, stopped.stderr
    missed = [service.create(f"missed {n}") for n in range(10)]
    assert service.stop() == 0
    service.start()
    until("what was missed is audited", lambda: all(service.audited(task) for task in missed))
    said = service.ask("GET", "/audit", app="audit-service").json()
    assert said["events"] == before + len(missed), (said, before)
    # Nothing that was written and acknowledged before comes again.
    assert said["delivered"] == len(missed), said


def no_event_is_lost_or_doubled_when_the_runtime_is_killed(service: Service) -> None:
    outbox = "outboxPublishTopic" in (service.folder / "components" / service.set / "statestore.yaml").read_text()
    if not outbox:
        raise NotRun("the state store of this set has no outbox")
    made: list[dict] = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for round in range(3):
            def create(n: int) -> None:
                try:
                    made.append(service.create(f"kill {round} {n}"))
                except (OSError, AssertionError, http.client.HTTPException):
                    pass  # not acknowledged, so nothing is promised

            creating = [pool.submit(create, n) for n in range(100)]
            wanted = len(made) + 30
            until("some are acknowledged", lambda: len(made) >= wanted)
            service.kill()
            concurrent.futures.wait(creating, PATIENCE)
            service.start()
    ids = [task["task_id"] for task in made]
    audited = lambda: {event["data"]["task_id"] for event in service.audited()}
    until("every acknowledged task has its event", lambda: set(ids) <= audited())
    events = [event["event_id"] for event in service.audited()]
    assert len(events) == len(set(events)), "an event stands in the file twice"


def the_apps_know_the_sdk_alone(service: Service) -> None:
    if service.twin != "python":
        raise NotRun("it is about the imports of the Python twin")
    clients = re.compile(r"^\s*(import|from) (redis|kafka|confluent_kafka|aiokafka|psycopg\w*|asyncpg|requests|httpx|aiohttp)\b", re.M)
    for source in EXAMPLE.glob("*_service/*.py"):
        assert not clients.search(source.read_text()), source


def it_ends_with_0(service: Service) -> None:
    assert service.stop() == 0, service.logs()
    service.start()


ALL = [
    all_services_are_ready,
    tasks_are_created_read_changed_and_deleted,
    what_is_no_task_is_refused,
    the_first_writer_wins,
    both_consumers_see_every_event_in_the_order_of_its_task,
    an_event_says_what_happened_and_where,
    completing_is_told_once_and_invokes_the_notification_service,
    an_event_is_committed_when_it_is_written_and_not_before,
    a_load_is_worked_off,
    a_restart_goes_on_where_it_was,
    no_event_is_lost_or_doubled_when_the_runtime_is_killed,
    the_apps_know_the_sdk_alone,
    it_ends_with_0,
]
