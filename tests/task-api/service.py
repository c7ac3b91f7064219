"""The example at work: a copy of it on ports of its own, started and stopped as a person does, and asked over HTTP."""

import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from typing import Callable

from broker import BROKERS

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "task-api"
SETS = ["embedded", "redis", "postgres-kafka"]

PATIENCE = 60.0
"""Longest wait for anything, in seconds."""

APPS = {"task-service": "8001", "notification-service": "8002", "audit-service": "8003"}
SIDECARS = {"task-service": "3501", "notification-service": "3502", "audit-service": "3503"}
PORTS = [*APPS.values(), *SIDECARS.values(), "50101", "50102", "50103"]
LEFT_BEHIND = shutil.ignore_patterns("data", ".mainstay", ".dapr", ".venv", "__pycache__", "target")


def until(what: str, holds: Callable[[], bool], else_say: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"it never came to be: {what} {else_say()}"
        time.sleep(0.02)


def kinds(events: list[dict]) -> list[str]:
    return [event["event_type"] for event in events]


taken: set[int] = set()
lock = threading.Lock()


def free_ports(count: int) -> list[str]:
    """Ports for this run alone. They are none that the system gives to connections, for they are bound again and again."""
    ports: list[str] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_000)
        with lock, socket.socket() as one:
            if port not in taken and one.connect_ex(("127.0.0.1", port)) != 0:
                taken.add(port)
                ports.append(str(port))
    return ports


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def call(port: str, method: str, path: str, body, headers: dict | None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"content-type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class File:
    """A file of JSON lines that may only grow: every look at it holds it to that."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.bytes = b""
        self.lines: list[dict] = []

    def read(self) -> list[dict]:
        """Its lines so far, without those that were cut."""
        if not self.path.exists():
            return self.lines
        now = self.path.read_bytes()
        assert now.startswith(self.bytes), f"{self.path.name} has lost or changed what it held"
        end = now.rfind(b"\n") + 1
        for line in now[len(self.bytes) : end].splitlines():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                pass
        self.bytes = now[: max(end, len(self.bytes))]
        return self.lines


class Service:
    """The three services on a set of components. Entering starts them."""

    def __init__(self, folder: pathlib.Path, twin: str, name: str, given, servers, say: Callable[[str], None]) -> None:
        self.folder, self.twin, self.set, self.servers = folder / "task-api", twin, name, servers
        self.mainstay, self.rust, self.seed = given.mainstay, given.rust, given.seed
        shutil.copytree(EXAMPLE, self.folder, ignore=LEFT_BEHIND)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.run_file = self.folder / ("rust" if twin == "rust" else ".") / f"run-{name}.yaml"
        text = self.run_file.read_text()
        for fixed, free in self.ports.items():
            text = text.replace(f" {fixed}\n", f" {free}\n")
        # The Rust twin's programs are built already, and found by their names.
        text = text.replace("cargo, run, --quiet, --bin, ", "")
        self.run_file.write_text(text)
        state, broker = servers.ports.get("state"), servers.ports.get("broker")
        self.replace("statestore", "localhost:6379", f"localhost:{state}")
        self.replace("statestore", "host=localhost port=5432 user=postgres", f"host=127.0.0.1 port={state} user=tester")
        self.replace("pubsub", "localhost:6379", f"localhost:{broker}")
        self.replace("pubsub", "localhost:9092", f"localhost:{broker}")
        self.data = self.folder / "data"
        self.files: dict[str, File] = {}
        self.process: subprocess.Popen | None = None
        self.broker = BROKERS[name](self)
        self.until, self.say = until, say
        self.output = (folder / "output.txt").open("ab")

    def replace(self, component: str, old: str, new: str) -> None:
        path = self.folder / "components" / self.set / f"{component}.yaml"
        path.write_text(path.read_text().replace(old, new))

    def environment(self) -> dict[str, str]:
        env = os.environ | {"MAINSTAY_RUNTIME_FOLDER": str(self.folder / ".runtime"), "PYTHONDONTWRITEBYTECODE": "1"}
        if self.rust:
            env["PATH"] = f"{self.rust}:{env['PATH']}"
        return env

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None:
            self.stop()
        self.output.close()

    def start(self) -> None:
        words = [self.mainstay, "run", "-f", str(self.run_file)]
        self.process = subprocess.Popen(words, stdout=self.output, stderr=self.output, env=self.environment())
        until("all three are healthy", self.healthy)
        until("all three are subscribed", self.subscribed)

    def healthy(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.logs()}"
        return all(self.answers(app) for app in APPS)

    def answers(self, app: str) -> bool:
        try:
            return self.ask("GET", "/health", app=app).status == 200
        except OSError:
            return False

    def subscribed(self) -> bool:
        logs = {app: self.log_of(app, "daprd") for app in APPS}
        return all("dapr initialized. Status: Running." in log and "the app is subscribed" in log for log in logs.values())

    def stop(self) -> int:
        """Stops it as Ctrl-C does, and gives its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def kill(self) -> None:
        """Kills the runtime on the spot; its apps go with it."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None
        until("the apps are gone", lambda: not any(self.answers(app) for app in APPS))

    def command(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.mainstay, *words], env=self.environment(), capture_output=True, text=True, timeout=PATIENCE)

    def ask(self, method: str, path: str, body=None, app: str = "task-service", headers: dict | None = None) -> Answer:
        """A call of an app."""
        return call(self.ports[APPS[app]], method, path, body, headers)

    def sidecar(self, app: str, method: str, path: str, body=None, headers: dict | None = None) -> Answer:
        """A call of an app's sidecar."""
        return call(self.ports[SIDECARS[app]], method, path, body, headers)

    def components(self, app: str) -> set[str]:
        """The components that an app's sidecar has open."""
        return {one["name"] for one in self.sidecar(app, "GET", "/v1.0/metadata").json()["components"]}

    def create(self, title: str = "write it down", **fields) -> dict:
        answer = self.ask("POST", "/tasks", {"title": title} | fields)
        assert answer.status == 201, (answer.status, answer.body)
        return answer.json()

    def set_status(self, task: dict, status: str, headers: dict | None = None) -> Answer:
        return self.ask("PUT", f"/tasks/{task['task_id']}/status?status={status}", headers=headers)

    def lines(self, name: str) -> list[dict]:
        return self.files.setdefault(name, File(self.data / name)).read()

    def audited(self, task: dict | None = None) -> list[dict]:
        """The events in the audit file, in its order; those of one task."""
        events = self.lines("audit.jsonl")
        return [one for one in events if task is None or one["data"]["task_id"] == task["task_id"]]

    def notified(self, way: str, task: dict | None = None) -> list[dict]:
        """The events that the notification service has had, in one way or the other."""
        events = [line["event"] for line in self.lines("notifications.jsonl") if line["way"] == way]
        return [one for one in events if task is None or one["data"]["task_id"] == task["task_id"]]

    def log_of(self, app: str, kind: str) -> str:
        """The newest log of an app, or of its sidecar (`daprd`)."""
        folders = [self.folder / app.replace("-", "_"), self.folder / "rust" / app]
        logs = sorted(path for folder in folders for path in folder.glob(f".dapr/logs/{kind}_*.log"))
        return logs[-1].read_text() if logs else ""

    def logs(self) -> str:
        self.output.flush()
        parts = [(pathlib.Path(self.output.name)).read_text()[-4000:]]
        for app in APPS:
            parts += [f"--- {app} {kind}\n" + self.log_of(app, kind)[-3000:] for kind in ("app", "daprd")]
        return "\n".join(parts)
