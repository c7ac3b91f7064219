"""The generated Compose file, brought up by Docker Compose over podman: an app, Redis and Prometheus. The checklist passes
against it, a time without Redis among it, state outlives a restart of either, and nothing is left behind."""

import contextlib
import json
import shlex
import shutil
import subprocess
import threading
import time

import apps
from bases import PACKAGES, Bases, owned
from engine import KEY, Failed, asked, attempt, demand, faults_of_rights, free_port, refused, run, until

# Images that Compose names, from Debian's packages; who owns their data, and what starts them. Redis answers other
# machines, as it does in its makers' image.
SERVERS = {
    "docker.io/library/redis:7.4-alpine": (
        "redis", ("data", 999, 1000), ["/bin/sh", "-c", 'exec "$@" --protected-mode no', "redis"]
    ),
    "docker.io/prom/prometheus:v2.55.1": ("prometheus", ("prometheus", 65534, 65534), ["/usr/bin/prometheus"]),
}
UP_S = 120
OTHER_KEY = f"{KEY}-of-another"


class Stack:
    """Compose over podman, in the folder that `ship` wrote."""

    def __init__(self, given, engine, spec):
        self.engine, self.out = engine, given.work / "stack-deploy"
        run(given.mainstay, "ship", "compose", "--spec", spec, "--out", self.out)
        self.folder = self.out / "compose"
        self.port, self.prometheus = free_port(), free_port()
        # The ports that the file publishes may be in use here.
        (self.folder / "ports.yaml").write_text(
            f'services:\n  tally:\n    ports: !override ["127.0.0.1:{self.port}:8080"]\n'
            f'  prometheus:\n    ports: !override ["127.0.0.1:{self.prometheus}:9090"]\n'
        )
        self.fill((self.folder / "env.example").read_text().splitlines())
        self.socket = given.work / "podman.sock"
        self.compose = [
            given.tools / "usr/libexec/docker/cli-plugins/docker-compose",
            "--file", "compose.yaml", "--file", "ports.yaml",
        ]
        self.base = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **engine.environment,
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.folder),
        }

    def fill(self, example):
        """Gives the secrets as the example says: variables in `.env`, files that the servers' users may read."""
        values = {"WEB_KEY=": KEY, "OTHER_KEY=": OTHER_KEY}
        (self.folder / ".env").write_text("\n".join(line + values.get(line, "") for line in example) + "\n")
        (self.folder / "secrets").mkdir(mode=0o700)
        for line in example:
            if " cat > secrets/" in line:
                file = self.folder / line.split(" cat > ")[1].rstrip(")")
                file.write_text(KEY)
                file.chmod(0o444)

    def __call__(self, *words, **options):
        """Runs Compose."""
        return run(*self.compose, *words, cwd=self.folder, env=self.environment, **options)

    def shell(self, *words):
        """The same, for a shell to run."""
        return f"cd {shlex.quote(str(self.folder))} && {shlex.join(str(word) for word in (*self.compose, *words))}"

    def containers(self):
        """The ids of all containers."""
        return self.engine.podman("ps", "--all", "--quiet").split()

    def container(self, service):
        """The id of a service's container."""
        return self("ps", "--all", "--quiet", service).strip()

    @contextlib.contextmanager
    def served(self):
        """podman's socket, and checks of health where no systemd runs them."""
        words = ["podman", *self.engine.storage, "system", "service", "--time", "0", f"unix://{self.socket}"]
        service = subprocess.Popen([str(word) for word in words], env=self.engine.environment)
        ended = threading.Event()

        def look():
            while not ended.wait(1):
                for container in self.engine.try_podman("ps", "--quiet")[1].split():
                    self.engine.try_podman("healthcheck", "run", container)

        looking = threading.Thread(target=look)
        try:
            until("podman listens", self.socket.exists)
            looking.start()
            yield
        finally:
            ended.set()
            if looking.is_alive():
                looking.join()
            service.terminate()
            service.wait(timeout=30)


def images(given, engine, spec):
    """The images that the file names, made here."""
    bases = Bases(given.cache)
    for image, (name, data, entry) in SERVERS.items():
        def make(root, name=name, data=data):
            bases.unpack(root, PACKAGES[name])
            owned(root, [data])
        archive = bases.archive(f"{name}-server", make, name, data)
        changes = ["ENV PATH=/usr/bin:/bin", f"WORKDIR /{data[0]}"]
        changes.append(f"ENTRYPOINT {json.dumps(entry)}")
        words = [part for change in changes for part in ("--change", change)]
        engine.podman("import", "--quiet", *words, archive, image)
    app = apps.built(given, engine, spec, "python", bases)
    engine.podman("tag", app, "registry.example.com/acme/tally:1.0.0")


def answered(base, count):
    """A question is answered, and counted in Redis."""
    status, said = asked(f"{base}/v1/invoke", {"query": "hello"}, KEY)
    demand(status == 200 and f"{count}: hello" in said, f"question {count}: {status} {said}")


def watched(stack):
    """Prometheus reads the metrics with its key, and has the rules."""
    base = f"http://127.0.0.1:{stack.prometheus}/api/v1"

    def targets():
        data = json.loads(asked(f"{base}/targets")[1] or "{}").get("data", {})
        return [one["health"] for one in data.get("activeTargets", [])]

    until("Prometheus reads the metrics", lambda: targets() == ["up"])
    rules = json.loads(asked(f"{base}/rules")[1])["data"]["groups"]
    demand(rules, "Prometheus has no rules")


def checklist(given, stack, spec, key, *words):
    """The live items of the checklist pass, Redis stopped and started meanwhile; gives how many there are."""
    ask = ["check", "--production", spec, "--out", stack.out, "--url", stack.base, "--format", "json", *words]
    ask += ["--outage", stack.shell("stop", "redis"), "--restore", stack.shell("start", "redis")]
    known = {"MAINSTAY_API_KEY": key, "MAINSTAY_OTHER_API_KEY": OTHER_KEY, "WEB_KEY": KEY, "OTHER_KEY": OTHER_KEY}
    _, said, complained = attempt(given.mainstay, *ask, env={**stack.environment, **known})
    demand(said.startswith("{"), complained)
    items = [item for item in json.loads(said)["items"] if item["layer"] == "live"]
    bad = [item for item in items if item["verdict"] != "pass"]
    demand(not bad, json.dumps(bad, indent=1))
    return len(items)


def left_over(engine):
    """Containers, volumes and networks that there are."""
    lists = [["ps", "--all"], ["volume", "ls"], ["network", "ls"]]
    return {one for words in lists for one in engine.podman(*words, "--quiet").split()}


def check(given, engine):
    """Everything of the stack."""
    if given.tools is None:
        given.say("Compose: not run, since Debian's docker-compose could not be fetched")
        return
    spec = given.work / "stack-spec"
    shutil.copytree(given.specs / "stack", spec)
    images(given, engine, spec)
    stack = Stack(given, engine, spec)
    before = left_over(engine)
    with stack.served():
        try:
            begin = time.monotonic()
            stack("up", "--detach", "--no-build", "--pull", "never", "--wait", timeout=UP_S)
            given.say(f"Compose: healthy after {time.monotonic() - begin:.0f} s")
            demand(not (faults := faults_of_rights(engine, stack.container("tally"))), f"{faults}")
            answered(stack.base, 1)
            watched(stack)
            stack("restart", "--timeout", "45", "tally")
            until("it is ready again", lambda: asked(f"{stack.base}/ready")[0] == 200)
            answered(stack.base, 2)
            wrong = lambda: checklist(given, stack, spec, "sk-wrong")  # noqa: E731
            refused("a service asked with a wrong key", wrong, because="api/live-stream")
            # Redis was away meanwhile, and no question of the check was taken.
            until("it is ready without a hand's turn", lambda: asked(f"{stack.base}/ready")[0] == 200)
            answered(stack.base, 3)
            # It uses the key up, and ends the service with a stream open.
            pid = engine.state(stack.container("tally"))["State"]["Pid"]
            passed = checklist(given, stack, spec, KEY, "--exhaust", "--drain", pid)
            given.say(f"Compose: {passed} live items of the checklist pass")
        except Failed:
            for container in stack.containers():
                print(container, engine.log(container)[-1500:])
            raise
        finally:
            stack("down", "--volumes", "--timeout", "45")
        demand(not (left := left_over(engine) - before), f"`down` left {left}")
        # What is not filled in is said, and nothing starts.
        (stack.folder / ".env").unlink()
        refused("a stack without its secrets", lambda: stack("up", "--detach", "--no-build"), because="in .env")
