"""Checks that a crash between a change and its event loses neither, and invents neither."""

import concurrent.futures
import http.client
import random
import threading

from service import Service, until

WRITERS = 8
KILLS = {"python": (2, 2), "rust": (3, 3)}
"""Times that the runtime is killed under load: how many times so many in a row, whose events are then waited for. So some kills
find events that nobody publishes yet (who was killed keeps its lease for seconds), and others come in the midst of publishing.
The Rust twin is back sooner."""

CHANGES_MAX = 60
"""The kill comes at the latest when so many changes were acknowledged."""

OF_A_TASK = 5
"""Changes of a task, its creation among them, before the writer begins another one."""


class Book:
    """What was changed, and what is unknown: by task the titles that it has had, in their order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: dict[str, list[str]] = {}
        self.unknown: dict[str, str] = {}
        self.acknowledged = 0

    def add(self, task_id: str, title: str) -> None:
        with self.lock:
            self.made.setdefault(task_id, []).append(title)
            self.acknowledged += 1


def write(service: Service, book: Book, name: str) -> None:
    """Creates tasks and changes them, one change after the other, until the runtime is gone."""
    number = 0
    task_id = None
    while True:
        title = f"{name}, {number}"
        try:
            if number % OF_A_TASK == 0:
                task_id = None
                answer = service.ask("POST", "/tasks", {"title": title})
            else:
                answer = service.ask("PUT", f"/tasks/{task_id}", {"title": title})
        except (OSError, http.client.HTTPException):
            answer = None  # nothing is promised
        if answer is None or answer.status not in (200, 201):
            if task_id is not None:
                book.unknown[task_id] = title
            return
        task_id = answer.json()["task_id"]
        book.add(task_id, title)
        number += 1


def write_until_killed(service: Service, book: Book, name: str, acknowledged: int) -> None:
    wanted = book.acknowledged + acknowledged
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, service, book, f"{name}, {n}") for n in range(WRITERS)]
        until("so much is acknowledged", lambda: book.acknowledged >= wanted or all(one.done() for one in writing))
        service.kill()
        for one in writing:
            one.result()


def titles(service: Service) -> dict[str, list[str]]:
    """By task: the titles in its events, in the order they came."""
    found: dict[str, list[str]] = {}
    for event in service.audited():
        found.setdefault(event["data"]["task_id"], []).append(event["data"]["title"])
    return found


def settle(service: Service, book: Book) -> None:
    """Looks at which of the changes that nobody was told of were made."""
    for task_id, title in list(book.unknown.items()):
        if service.ask("GET", f"/tasks/{task_id}").json()["title"] == title:
            book.add(task_id, title)
        del book.unknown[task_id]


def state_and_events_agree(service: Service, book: Book, before: set[str]) -> None:
    """Every change that was made has its event, in order and once; no event is of a change that was not made. A stream of Redis
    promises no order after a crash: what was with who was killed comes again later than what followed it."""
    order = sorted if service.set == "redis" else list
    made = {task_id: order(one) for task_id, one in book.made.items()}

    def told() -> dict[str, list[str]]:
        found = titles(service)
        return {task_id: order(found.get(task_id, [])) for task_id in made}

    until("every change that was made has its event", lambda: told() == made, else_say=lambda: differing(told(), made))
    # Creations that nobody was told of: whoever has an event has a task.
    for task_id in set(titles(service)) - set(book.made) - before:
        answer = service.ask("GET", f"/tasks/{task_id}")
        assert answer.status == 200, f"the event of {task_id} has no task"
        assert titles(service)[task_id] == [answer.json()["title"]], titles(service)[task_id]


def differing(told: dict, made: dict) -> str:
    return str([(task_id, told[task_id], made[task_id]) for task_id in made if told[task_id] != made[task_id]][:5])


def waiting(service: Service, book: Book) -> int:
    """Acknowledged changes whose event is not in the audit."""
    told = titles(service)
    return sum(title not in told.get(task_id, []) for task_id, made in book.made.items() for title in made)


def what_is_saved_while_the_broker_is_away_is_told_after_a_crash(service: Service) -> None:
    before, book = set(titles(service)), Book()
    service.broker.away()
    write_until_killed(service, book, "away", CHANGES_MAX)
    assert waiting(service, book) == book.acknowledged >= CHANGES_MAX, "the broker is away"
    service.broker.back()
    service.start()
    settle(service, book)
    state_and_events_agree(service, book, before)


def every_saved_change_has_exactly_its_event_whenever_the_runtime_is_killed(service: Service) -> None:
    before, book = set(titles(service)), Book()
    dice, on_their_way = random.Random(service.seed), 0
    times, in_a_row = KILLS[service.twin]
    for time in range(times):
        for kill in range(in_a_row):
            write_until_killed(service, book, f"kill {time}.{kill}", dice.randint(1, CHANGES_MAX))
            on_their_way += waiting(service, book)
            service.start()
            settle(service, book)
        state_and_events_agree(service, book, before)
    said = sum(map(len, book.made.values()))
    service.say(f"({times * in_a_row} kills, {said} changes, {on_their_way} times an event waited when it was killed)")
