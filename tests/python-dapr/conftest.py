"""`mainstay sidecar` on free ports beside an app, with components inside the process.

The SDK is used as its users do: ports in the environment, nothing patched.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.request

import pytest

PATIENCE_S = 30
KEYS = pathlib.Path(__file__).parents[2] / "crates/mainstay-testkit/keys"
RUNTIME_FOLDER = tempfile.TemporaryDirectory(prefix="mainstay-")
COMPONENTS = {
    "orders.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: orders }
        spec: { type: state.embedded, version: v1, metadata: [] }
    """,
    "bus.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: bus }
        spec: { type: pubsub.embedded, version: v1, metadata: [] }
    """,
    "conf.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: conf }
        spec:
          type: configuration.embedded
          version: v1
          metadata: [{ name: file, value: items.yaml }]
    """,
    "echo.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: echo }
        spec: { type: conversation.echo, version: v1, metadata: [] }
    """,
    "files.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: files }
        spec:
          type: bindings.localstorage
          version: v1
          metadata: [{ name: rootPath, value: files }]
    """,
    "locks.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: locks }
        spec: { type: lock.embedded, version: v1, metadata: [] }
    """,
    "vault.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: vault }
        spec:
          type: secretstores.local.env
          version: v1
          metadata: []
    """,
    "keys.yaml": """
        apiVersion: dapr.io/v1alpha1
        kind: Component
        metadata: { name: keys }
        spec:
          type: crypto.dapr.localstorage
          version: v1
          metadata:
            - name: path
              value: keys
    """,
}
# Who may call the app of `grpc_app.py`, and what.
ACCESS = """
    apiVersion: dapr.io/v1alpha1
    kind: Configuration
    metadata: { name: access }
    spec:
      accessControl:
        defaultAction: deny
        policies:
          - appId: shop
            trustDomain: public
            namespace: default
            defaultAction: allow
            operations: [{ name: /fails, httpVerb: ["*"], action: deny }]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what: str):
    """Waits until `condition` gives something, and gives that."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in time: {what}")


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status < 300
    except (urllib.error.URLError, OSError):
        return False


STARTED: list["Sidecar"] = []


class Sidecar:
    """A sidecar at work."""

    def __init__(
        self,
        folder: pathlib.Path,
        app_port: int | None = None,
        token: str | None = None,
        more: dict[str, str] | None = None,
        app_id: str = "shop",
        words: list[str] = (),
        variables: dict[str, str] = {},
        resources: dict[str, str] = {},
    ):
        files = COMPONENTS | (more or {}) | resources
        resources = folder / "resources"
        resources.mkdir(exist_ok=True)
        for name, text in files.items():
            (resources / name).write_text(textwrap.dedent(text))
        keys = folder / "keys"
        keys.mkdir(exist_ok=True)
        (keys / "bytes").write_bytes(bytes(range(32)))
        (keys / "rsa.pem").write_bytes((KEYS / "rsa.pem").read_bytes())
        if not (folder / "items.yaml").exists():
            (folder / "items.yaml").write_text("greeting: hello\nlimit: { value: 10, version: v2 }\n")
        self.folder = folder
        self.http_port, self.grpc_port = free_port(), free_port()
        command = [os.environ["MAINSTAY_BIN"], "sidecar", "--app-id", app_id, "--resources-path", str(resources)]
        command += ["--dapr-http-port", str(self.http_port), "--dapr-grpc-port", str(self.grpc_port)]
        command += ["--app-port", str(app_port)] if app_port else []
        command += words
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "FAVOURITE_COLOUR": "green"}
        environment |= {"DAPR_API_TOKEN": token} if token else {}
        # Of this run alone, and short: a socket's path is bounded.
        environment |= {"MAINSTAY_RUNTIME_FOLDER": RUNTIME_FOLDER.name} | variables
        self.process = subprocess.Popen(command, cwd=folder, env=environment)
        STARTED.append(self)
        health = f"http://127.0.0.1:{self.http_port}/v1.0/healthz"
        try:
            until(lambda: answers(health) or self.process.poll() is not None, "the sidecar is up")
        except AssertionError:
            self.kill()
            raise
        assert self.process.poll() is None, f"the sidecar ended with {self.process.returncode}"

    def configure(self, text: str) -> None:
        """Replaces the items of the configuration store, as an operator does."""
        (self.folder / "new.yaml").write_text(text)
        (self.folder / "new.yaml").rename(self.folder / "items.yaml")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=PATIENCE_S) == 0, "a sidecar that is told to stop ends with 0"

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)


def use(sidecar: Sidecar, monkeypatch) -> None:
    """Points the SDK at a sidecar, as `dapr run` does."""
    monkeypatch.setenv("DAPR_HTTP_PORT", str(sidecar.http_port))
    monkeypatch.setenv("DAPR_GRPC_PORT", str(sidecar.grpc_port))
    # Modules of the SDK read the ports when they are imported first.
    from dapr.conf import settings

    monkeypatch.setattr(settings, "DAPR_HTTP_PORT", sidecar.http_port)
    monkeypatch.setattr(settings, "DAPR_GRPC_PORT", sidecar.grpc_port)


@pytest.fixture(autouse=True)
def nothing_stays():
    """Ends what a test that failed has left at work."""
    yield
    while STARTED:
        sidecar = STARTED.pop()
        if sidecar.process.poll() is None:
            sidecar.kill()


@pytest.fixture
def sidecar(tmp_path, monkeypatch):
    running = Sidecar(tmp_path)
    use(running, monkeypatch)
    yield running
    if running.process.poll() is None:
        running.stop()


def program(name: str, port: int, log: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, str(pathlib.Path(__file__).parent / name), str(port), str(log)]
    return subprocess.Popen(command, env={"PATH": os.environ["PATH"], "HOME": str(log.parent)})


@pytest.fixture
def app(tmp_path):
    """The FastAPI app of `app.py`, and where it writes what it was sent."""
    port, log = free_port(), tmp_path / "seen.jsonl"
    process = program("app.py", port, log)
    until(lambda: answers(f"http://127.0.0.1:{port}/health") or process.poll() is not None, "the app is up")
    assert process.poll() is None, "the app ended"
    yield port, log
    process.kill()
    process.wait(timeout=PATIENCE_S)


@pytest.fixture
def grpc_app(tmp_path):
    """The app of `grpc_app.py`, which a sidecar waits for, and where it writes what it was sent."""
    port, log = free_port(), tmp_path / "bank" / "seen.jsonl"
    log.parent.mkdir()
    process = program("grpc_app.py", port, log)
    yield port, log
    process.kill()
    process.wait(timeout=PATIENCE_S)


@pytest.fixture
def bank(grpc_app):
    """A sidecar beside that app, and where the app writes what it was sent."""
    port, log = grpc_app
    probes = ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1"]
    sidecar = Sidecar(
        log.parent,
        app_port=port,
        app_id="bank",
        words=["--app-protocol", "grpc", *probes],
        variables={"APP_API_TOKEN": "for-the-bank"},
        resources={"access.yaml": ACCESS},
    )
    yield sidecar, log
    sidecar.stop()


@pytest.fixture
def shop(bank, tmp_path, monkeypatch):
    """A sidecar of an app that only calls, which the SDK uses."""
    folder = tmp_path / "shop"
    folder.mkdir()
    sidecar = Sidecar(folder)
    use(sidecar, monkeypatch)
    yield sidecar
    sidecar.stop()
