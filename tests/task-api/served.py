"""The example as one service: `mainstay serve offline.yaml`, asked through its public port as callers ask it."""

import pathlib
import subprocess

from service import APPS, Answer, Service, call, free_ports, until


class Served(Service):
    """The three services as apps of a spec, on the stores inside. Tasks are behind the public port; the others' own ports and
    the sidecars are asked as their neighbours on the machine ask them."""

    def __init__(self, folder: pathlib.Path, given, servers, say) -> None:
        super().__init__(folder, "python", "embedded", given, servers, say)
        self.spec, [self.public], self.since = self.folder / "offline.yaml", free_ports(1), 0
        text = self.spec.read_text()
        for fixed in APPS.values():
            text = text.replace(f"127.0.0.1:{fixed}", f"127.0.0.1:{self.ports[fixed]}")
        self.spec.write_text(text)

    def start(self) -> None:
        self.since = len(self.said())
        words = [self.mainstay, "serve", str(self.spec), "--listen", f"127.0.0.1:{self.public}"]
        self.process = subprocess.Popen(words, stdout=self.output, stderr=self.output, env=self.environment())
        until("the service is ready", self.ready)
        until("all three are subscribed", lambda: self.log_of("", "").count("the app is subscribed") >= len(APPS))

    def ready(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.logs()}"
        try:
            return call(self.public, "GET", "/ready", None, None).status == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body=None, app: str = "task-service", headers: dict | None = None) -> Answer:
        port = self.public if app == "task-service" else self.ports[APPS[app]]
        return call(port, method, path, body, headers)

    def sidecar(self, app: str, method: str, path: str, body=None, headers: dict | None = None) -> Answer:
        return call(self.told(app)["DAPR_HTTP_PORT"], method, path, body, headers)

    def told(self, app: str) -> dict[str, str]:
        """The variables of an app's process: the ports of its sidecar are free ones."""
        mine = {"MAINSTAY_RUNTIME_FOLDER": self.environment()["MAINSTAY_RUNTIME_FOLDER"], "APP_ID": app}
        for process in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = process.read_bytes().decode().split("\0")
            except OSError:  # it has ended, or is not ours
                continue
            env = dict(one.split("=", 1) for one in variables if "=" in one)
            if mine.items() <= env.items() and "DAPR_HTTP_PORT" in env:
                return env
        raise AssertionError(f"{app} does not run")

    def said(self) -> str:
        self.output.flush()
        return pathlib.Path(self.output.name).read_text()

    def log_of(self, app: str, kind: str) -> str:
        """What the service has said since it was started, for all of its apps."""
        return self.said()[self.since :]


def only_what_is_opened_is_reached(service: Served) -> None:
    """The routes of the task service, and none of the others'; callers say nothing in the runtime's name."""
    task = service.create("behind the port")
    assert service.ask("GET", f"/tasks/{task['task_id']}").status == 200
    for path in ("/audit", "/notify", "/events/tasks", "/dapr/subscribe", "/v1.0/metadata"):
        assert service.ask("GET", path).status == 404, path
    for path in ("//tasks", "/tasks/../audit", f"/tasks/%2e%2e/{task['task_id']}"):
        assert service.ask("GET", path).status == 400, path
    assert service.ask("GET", "/tasks/none").json()["detail"], "an error of the app is its own"
    described = service.ask("GET", "/openapi.json").json()["x-mainstay-apps"]
    assert [one["routes"] for one in described] == [["/tasks"]], described
