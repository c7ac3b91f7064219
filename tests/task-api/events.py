"""Checks of events and of those who take them. Where the broker is a server it is asked itself, besides."""

import concurrent.futures
import json

from service import Service, kinds, until

LOAD = 200
"""Tasks that are created at once where many are wanted."""

GROUPS = ("audit-service", "notification-service")
"""Consumer groups that are to see everything."""

LAG_MAX = 100


def an_event_says_what_happened_and_where(service: Service) -> None:
    answer = service.ask("POST", "/tasks", {"title": "say so", "owner_id": "ada"}, headers={"x-correlation-id": "c-1"})
    task = answer.json()
    assert service.ask("PUT", f"/tasks/{task['task_id']}", {"title": "said"}).status == 200
    until("both are audited", lambda: len(service.audited(task)) == 2)
    event, changed = service.audited(task)
    assert set(event) == {"event_id", "event_type", "occurred_at", "data", "metadata"}, event
    assert event["data"] == {key: task[key] for key in ("task_id", "title", "status", "priority", "owner_id")}
    assert (event["data"]["title"], event["data"]["owner_id"], event["data"]["status"]) == ("say so", "ada", "pending")
    assert event["metadata"] == {"correlation_id": "c-1", "source": "task-service"}
    assert changed["data"]["title"] == "said" and changed["event_id"] != event["event_id"]
    assert set(changed["metadata"]) == {"correlation_id", "source"} and changed["metadata"]["correlation_id"]
    if service.broker.groups() is None:
        return
    found = {envelope["id"]: (key, envelope) for key, envelope in service.broker.messages()}
    (key, envelope), *_ = [one for one in found.values() if one[1]["data"]["event_id"] == event["event_id"]]
    assert envelope["data"] == event, envelope
    about = {"type": "task.created", "source": "task-service", "topic": "task-events", "pubsubname": "pubsub"}
    assert {name: envelope[name] for name in about} == about, envelope
    assert (envelope["specversion"], envelope["datacontenttype"]) == ("1.0", "application/json")
    if service.set == "postgres-kafka":
        assert key == task["task_id"], "the message's key is the task's id"


def both_consumers_see_every_event_in_the_order_of_its_task(service: Service) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def life(n: int) -> dict:
            task = service.create(f"task {n}")
            assert service.set_status(task, "in_progress").status == 200
            assert service.ask("PUT", f"/tasks/{task['task_id']}", {"title": f"task {n}, changed"}).status == 200
            assert service.set_status(task, "completed").status == 200
            # Of a task that goes nothing is told.
            assert service.ask("DELETE", f"/tasks/{task['task_id']}").status == 204
            return task

        tasks = list(pool.map(life, range(20)))
    order = ["task.created", "task.updated", "task.updated", "task.completed"]
    for task in tasks:
        until("it is audited", lambda: len(service.audited(task)) >= 4)
        assert kinds(service.audited(task)) == order, service.audited(task)
        until("the other group has it", lambda: len(service.notified("subscribed", task)) >= 4)
        assert service.notified("subscribed", task) == service.audited(task)


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
    assert service.notified("invoked", task) == service.audited(task)[1:]


def what_fails_is_not_committed_and_comes_again(service: Service) -> None:
    """Neither a line of the audit that cannot be written, nor a notification that fails, is lost or taken for done."""
    aside = service.data.rename(service.folder / "aside")
    task = service.create("while there is no disk")
    assert service.set_status(task, "completed").status == 200
    until("the audit was tried", lambda: "failed on a message" in service.log_of("audit-service", "daprd"))
    until("the notification was tried", lambda: "was not told" in service.log_of("task-service", "app"))
    behind = service.broker.groups()
    if behind is not None:
        assert all(behind[group] > 0 for group in (*GROUPS, "task-service")), f"committed before it was done: {behind}"
    aside.rename(service.data)
    until("it is audited", lambda: len(service.audited(task)) >= 2)
    until("the service is invoked", lambda: service.notified("invoked", task) != [])
    assert kinds(service.audited(task)) == ["task.created", "task.completed"]
    assert kinds(service.notified("invoked", task)) == ["task.completed"]
    if behind is not None:
        until("all is committed", lambda: not any(service.broker.groups().values()))


def an_event_that_comes_twice_is_written_once(service: Service) -> None:
    task = service.create("again")
    until("it is audited", lambda: service.audited(task) != [])
    def doubles() -> int:
        """Deliveries of what was written already. Another task's event may still be on its way: it is written and counts for none."""
        said = service.ask("GET", "/audit", app="audit-service").json()
        return said["delivered"] - said["events"]

    # A line stands in the file before the service is done with it, and counts as written after that.
    counted = lambda: service.ask("GET", "/audit", app="audit-service").json()["events"]
    until("what is in the file is counted", lambda: counted() >= len(service.audited()))
    event, before = service.audited(task)[0], doubles()
    publish = f"/v1.0/publish/pubsub/task-events?metadata.partitionKey={task['task_id']}"
    for _ in range(2):
        assert service.sidecar("task-service", "POST", publish, event).status == 204
    until("both came", lambda: doubles() >= before + 2)
    assert service.audited(task) == [event]
    # What came after it has come to the other group too.
    assert service.set_status(task, "in_progress").status == 200
    until("the other group has the next", lambda: len(service.notified("subscribed", task)) >= 2)
    assert kinds(service.notified("subscribed", task)) == ["task.created", "task.updated"]


def a_load_is_worked_off(service: Service) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tasks = list(pool.map(lambda n: service.create(f"load {n}"), range(LOAD)))
    if service.broker.groups() is not None:
        lag = lambda: [service.broker.groups()[group] for group in GROUPS]
        until("the lag of both groups is small", lambda: all(one < LAG_MAX for one in lag()))
    wanted = {task["task_id"] for task in tasks}
    seen = lambda events: wanted <= {event["data"]["task_id"] for event in events}
    until("all are audited", lambda: seen(service.audited()))
    until("the other group has all", lambda: seen(service.notified("subscribed")))
    if service.broker.groups() is not None:
        until("both have committed all", lambda: lag() == [0, 0])


def a_restart_goes_on_where_it_was(service: Service) -> None:
    before = len(service.audited())
    stopped = service.command("stop", "--app-id", "audit-service")
    assert stopped.returncode == 0, stopped.stderr
    missed = [service.create(f"missed {n}") for n in range(10)]
    until("the other group has them", lambda: all(service.notified("subscribed", task) for task in missed))
    assert service.stop() == 0
    # A line that a full disk has cut spoils neither those before it nor the next one.
    with (service.data / "audit.jsonl").open("a") as file:
        file.write(json.dumps({"event_id": "cut"})[:-3])
    service.start()
    until("what was missed is audited", lambda: all(service.audited(task) for task in missed))
    said = service.ask("GET", "/audit", app="audit-service").json()
    assert said["events"] == before + len(missed), (said, before)
    # Nothing that was written and acknowledged before comes again.
    assert said["delivered"] == len(missed), said


def both_files_hold_every_event_of_the_topic(service: Service) -> None:
    audited = {event["event_id"] for event in service.audited()}
    assert len(audited) == len(service.audited()), "an event stands in the file twice"
    subscribed = lambda: {event["event_id"] for event in service.notified("subscribed")}
    until("the other group has as much", lambda: subscribed() == audited)
    assert len(service.notified("subscribed")) == len(audited), "an event stands in the file twice"
    if service.broker.groups() is None:
        return
    until("both have committed all", lambda: not any(service.broker.groups()[group] for group in GROUPS))
    said = [envelope["data"]["event_id"] for _, envelope in service.broker.messages()]
    assert set(said) == audited, "the topic and the audit differ"
