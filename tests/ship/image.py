"""An image made by `mainstay image build`, seen by tools that others wrote.

It is built twice and must have the same digest; Docker's own registry takes it, skopeo reads it there, podman pulls it and
runs it without a right: another user than root, a root file system that is read only, no capability, bounded memory. A
stream that is open when the order to stop comes is finished, and the process ends with 0.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

PATIENCE = 60
KEY = "sk-test-image"
SPEC = """\
name: desk
access:
  keys: [{{ name: web, key: "env:WEB_KEY" }}]
providers:
  scripted: {{ scripted: {{ replies: [{{ text: "{words}", tokens_per_second: 20 }}] }} }}
models:
  fast: {{ targets: [scripted/any] }}
agents:
  triage:
    declared: {{ model: fast, instructions: prompts/triage.md }}
deploy:
  image: 127.0.0.1:{port}/acme/desk
  version: 1.0.0
"""


def run(*words, check=True, **options):
    """Runs a program; gives what it said."""
    made = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, **options)
    if check and made.returncode != 0:
        sys.exit(f"{words} ended with {made.returncode}:\n{made.stdout}{made.stderr}")
    return made.stdout


def free_port():
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, holds):
    """Waits for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not in time: {what}")
        time.sleep(0.1)


def status(url):
    """The status of an answer; none while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@contextlib.contextmanager
def registry(work, port):
    """Docker's registry on a port of this machine."""
    config = work / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {work}/registry }} }}\n"
        f"http: {{ addr: '127.0.0.1:{port}' }}\n"
    )
    with open(work / "registry.log", "w") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
        try:
            until("the registry answers", lambda: status(f"http://127.0.0.1:{port}/v2/") == 200)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


class Podman:
    """podman with a configuration and a storage of its own, so that nothing of the machine's is touched."""

    def __init__(self, work):
        self.work = work
        config = work / "containers.conf"
        config.write_text(
            "[containers]\ndefault_ulimits = ['nofile=1024:1024', 'nproc=4096:4096']\n"
            "[engine]\nruntime = 'runc'\ncgroup_manager = 'cgroupfs'\nevents_logger = 'file'\n"
        )
        self.environment = {**os.environ, "CONTAINERS_CONF": str(config)}
        self.words = ["podman", "--root", work / "storage", "--runroot", work / "run", "--storage-driver", "vfs"]

    def __call__(self, *words, **options):
        return run(*self.words, *words, env=self.environment, **options)


def digest_of(said):
    """The digest that a build printed."""
    return said.split("@", 1)[1].split()[0]


def hardened(podman, image, port):
    """Runs the image as the manifests do; gives the container."""
    return podman(
        "run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--memory", "256m", "--no-healthcheck", "--tmpfs", "/tmp:size=64m,mode=1777",
        "--tmpfs", "/data:size=64m,mode=1777", "--env", f"WEB_KEY={KEY}", "--env", "MAINSTAY_LISTEN=127.0.0.1:" + str(port),
        "--network", "host", image,
    ).strip()


def without_rights(podman, container):
    """What the kernel says of the process."""
    pid = podman("inspect", "--format", "{{.State.Pid}}", container).strip()
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    said = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert said["Uid"].split() == ["10001"] * 4, said["Uid"]
    assert said["CapEff"].strip("0") == "", said["CapEff"]
    assert said["NoNewPrivs"] == "1", said["NoNewPrivs"]
    assert said["Seccomp"] == "2", said["Seccomp"]


def drained(podman, container, base):
    """A stream that is open when the order to stop comes ends as it should, and the process with 0."""
    request = urllib.request.Request(
        f"{base}/v1/stream",
        data=json.dumps({"query": "x"}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        first = answer.readline()
        stopping = threading.Thread(target=podman, args=("stop", "--time", "45", container))
        stopping.start()
        until("it says that it drains", lambda: status(f"{base}/ready") in (503, None))
        rest = (first + answer.read()).decode()
        stopping.join()
    assert "word39" in rest, rest[-500:]
    code = podman("inspect", "--format", "{{.State.ExitCode}}", container).strip()
    assert code == "0", code


def main():
    """Builds, pushes, pulls, runs and stops."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    given = parser.parse_args()
    port = free_port()
    spec = given.work / "spec"
    (spec / "prompts").mkdir(parents=True)
    (spec / "prompts/triage.md").write_text("Be brief.\n")
    (spec / ".env").write_text("WEB_KEY=leak\n")
    words = " ".join(f"word{n}" for n in range(40))
    (spec / "mainstay.yaml").write_text(SPEC.format(port=port, words=words))
    build = [given.mainstay, "image", "build", "--spec", spec]
    first = run(*build, "--out", given.work / "layout")
    print(first)
    second = run(*build, "--out", given.work / "again.tar")
    assert first == second, (first, second)
    held = run("skopeo", "inspect", "--raw", f"oci:{given.work}/layout:1.0.0")
    assert json.loads(held)["layers"], held
    with registry(given.work, port):
        pushed = run(*build, "--push")
        again = run(*build, "--push")
        assert pushed == again == first, (pushed, again)
        name = f"127.0.0.1:{port}/acme/desk"
        seen = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}:1.0.0"))
        assert seen["Digest"] == digest_of(first), seen["Digest"]
        assert not any("WEB_KEY" in variable for variable in seen["Env"]), seen["Env"]
        podman = Podman(given.work)
        podman("pull", "--tls-verify=false", f"{name}@{digest_of(first)}")
        inside = free_port()
        container = hardened(podman, f"{name}@{digest_of(first)}", inside)
        base = f"http://127.0.0.1:{inside}"
        try:
            until("it is ready", lambda: status(f"{base}/ready") == 200)
            without_rights(podman, container)
            healthy = podman("exec", container, "/usr/local/bin/mainstay", "healthcheck")
            assert status(f"{base}/v1/models") == 401, healthy
            listed = podman("exec", container, "/usr/local/bin/mainstay", "check", "/app")
            assert "ok" in listed, listed
            drained(podman, container, base)
        except BaseException:
            print(podman("logs", container, check=False))
            raise
        finally:
            podman("rm", "--force", container, check=False)
    shutil.rmtree(given.work / "storage", ignore_errors=True)


if __name__ == "__main__":
    main()
