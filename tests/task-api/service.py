"""The example at work: a copy of it on ports of its own, started and stopped as a person does, and asked over HTTP."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from typing import Callable

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "task-api"
PATIENCE = 60.0
"""Longest wait for anything, in seconds."""

APPS = {"task-service": "8001", "notification-service": "8002", "audit-service": "8003"}
PORTS = [*APPS.values(), "3501", "3502", "3503", "50101", "50102", "50103"]
LEFT_BEHIND = shutil.ignore_patterns("data", ".mainstay", ".dapr", ".venv", "__pycache__", "target")


def until(what: str, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"it never came to be: {what}"
        time.sleep(0.02)


def free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Service:
    """The three services on a set of components. Entering starts them."""

    def __init__(self, folder: pathlib.Path, twin: str, name: str, given, servers) -> None:
        self.folder, self.twin, self.set, self.servers = folder / "task-api", twin, name, servers
        self.mainstay, self.rust = given.mainstay, given.rust
        shutil.copytree(EXAMPLE, self.folder, ignore=LEFT_BEHIND)
        self.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        self.run_file = self.folder / ("rust" if twin == "rust" else ".") / f"run-{name}.yaml"
        text = self.run_file.read_text()
        for fixed, free in self.ports.items():
            text = text.replace(f" {fixed}\n", f" {free}\n")
        # The Rust twin's programs are built already, and found by their names.
        text = text.replace("cargo, run, --quiet, --bin, ", "")
        self.run_file.write_text(text)
        self.replace("localhost:6379", f"localhost:{servers.ports.get('redis')}")
        self.replace("localhost:9092", f"localhost:{servers.ports.get('kafka')}")
        postgres = f"host=127.0.0.1 port={servers.ports.get('postgresql')} user=tester"
        self.replace("host=localhost port=5432 user=postgres", postgres)
        self.data = self.folder / "data"
        self.process: subprocess.Popen | None = None
        self.output = (folder / "output.txt").open("ab")

    def replace(self, old: str, new: str) -> None:
        for path in (self.folder / "components" / self.set).glob("*.yaml"):
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
        connection = http.client.HTTPConnection("127.0.0.1", int(self.ports[APPS[app]]), timeout=PATIENCE)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"} | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def create(self, title: str = "write it down", **fields) -> dict:
        answer = self.ask("POST", "/tasks", {"title": title} | fields)
        assert answer.status == 201, (answer.status, answer.body)
        return answer.json()

    def set_status(self, task: dict, status: str, headers: dict | None = None) -> Answer:
        return self.ask("PUT", f"/tasks/{task['task_id']}/status?status={status}", headers=headers)

    def lines(self, file: str) -> list[dict]:
        path = self.data / file
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

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
