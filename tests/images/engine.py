"""podman and buildah with a storage, a network and settings of their own, so that nothing of the machine's is touched."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

PATIENCE_S = 90
KEY = "sk-test-images"
SETTINGS = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[network]
network_backend = "netavark"
network_config_dir = "{work}/networks"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{work}/tmp"
"""


class Failed(Exception):
    """Something is not as it must be."""


def demand(holds, what):
    """Fails where something does not hold; a plain `assert` would be gone under `-O`."""
    if not holds:
        raise Failed(what)


def refused(what, check, because=""):
    """Shows a check something that it must refuse: a check that cannot fail is none."""
    try:
        check()
    except Failed as fault:
        demand(because in str(fault), f"{what} was refused, but not for `{because}`: {fault}")
        return
    raise Failed(f"{what} was let pass")


def attempt(*words, **options):
    """Runs a program; gives its exit code and what it said."""
    options.setdefault("timeout", 600)
    try:
        made = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"`{words[0]}` took longer than {late.timeout} s: {late.stdout!r} {late.stderr!r}"[-4000:]) from late
    return made.returncode, made.stdout, made.stderr


def run(*words, **options):
    """Runs a program that must succeed; gives what it said."""
    code, said, complained = attempt(*words, **options)
    shown = " ".join(str(word) for word in words)
    demand(code == 0, f"`{shown[:400]}` ended with {code}:\n{said[-4000:]}{complained[-4000:]}")
    return said


def free_port():
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, holds, patience_s=PATIENCE_S):
    """Waits for a condition."""
    deadline = time.monotonic() + patience_s
    while not holds():
        demand(time.monotonic() < deadline, f"not in {patience_s} s: {what}")
        time.sleep(0.1)


def request(url, body=None, key=None):
    """A request of JSON; with a body it is a POST."""
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data=data, headers=headers)


def asked(url, body=None, key=None):
    """Status and text of an answer; no status while nobody answers."""
    try:
        with urllib.request.urlopen(request(url, body, key), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, str(error)


def bytes_of(root):
    """Bytes of the files below a folder, each counted once."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            held = os.lstat(os.path.join(folder, name))
            found[held.st_ino] = held.st_size
    return sum(found.values())


class Engine:
    """podman, and buildah over the same storage."""

    def __init__(self, work):
        self.work = work
        for folder in ("networks", "tmp"):
            (work / folder).mkdir()
        settings = work / "containers.conf"
        settings.write_text(SETTINGS.format(work=work))
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(settings),
            "BUILDAH_ISOLATION": "chroot",
            # Checks of health are run by the test where no systemd does it.
            "DISABLE_HC_SYSTEMD": "true",
        }
        self.storage = ["--root", work / "storage", "--runroot", work / "run", "--storage-driver"]
        code, _, _ = attempt("podman", *self.storage, "overlay", "info", env=self.environment)
        if code != 0:
            shutil.rmtree(work / "storage", ignore_errors=True)
        self.storage.append("overlay" if code == 0 else "vfs")

    def podman(self, *words, **options):
        """Runs podman."""
        return run("podman", *self.storage, *words, env=self.environment, **options)

    def try_podman(self, *words, **options):
        """Runs podman, which may fail."""
        return attempt("podman", *self.storage, *words, env=self.environment, **options)

    def buildah(self, *words, **options):
        """Runs buildah."""
        return run("buildah", *self.storage, *words, env=self.environment, **options)

    def tag(self, layout, name):
        """Takes in the image of an OCI layout, under a name."""
        # Its path would become a name, in which podman allows no capitals.
        told = self.podman("pull", "--quiet", f"oci:{layout.name}", cwd=layout.parent).split()[-1]
        self.podman("tag", told, name)

    @contextlib.contextmanager
    def mounted(self, image):
        """The files of an image, to be read."""
        root = pathlib.Path(self.podman("image", "mount", image).strip())
        try:
            yield root
        finally:
            self.podman("image", "unmount", image)

    def hardened(self, image, *words):
        """Starts an image as the manifests run it; gives the container and its address."""
        port = free_port()
        container = self.podman(
            "run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--memory", "256m", "--tmpfs", "/tmp:size=64m,mode=1777", "--env", f"WEB_KEY={KEY}",
            "--publish", f"127.0.0.1:{port}:8080", *words, image,
        ).strip()
        return container, f"http://127.0.0.1:{port}"

    def state(self, container):
        """What podman knows of a container."""
        return json.loads(self.podman("inspect", container))[0]

    def log(self, container):
        """What a container said."""
        _, said, complained = self.try_podman("logs", container)
        return (said + complained)[-3000:]

    def remove(self, container):
        """Takes a container away, and the volumes that were made for it."""
        self.try_podman("rm", "--force", "--volumes", container)

    def end(self):
        """Takes everything away that this made."""
        self.try_podman("pod", "rm", "--all", "--force")
        self.try_podman("rm", "--all", "--force", "--volumes")
        self.try_podman("image", "unmount", "--all", "--force")
        attempt("buildah", *self.storage, "rm", "--all", env=self.environment)
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for place in sorted(mounts, reverse=True):
            if place.startswith(f"{self.work}/"):
                attempt("umount", place)
        for folder in ("storage", "run", "tmp"):
            shutil.rmtree(self.work / folder, ignore_errors=True)


def faults_of_rights(engine, container, memory=256 << 20):
    """What a process of a container may do that it need not, as the kernel says it."""
    pid = engine.state(container)["State"]["Pid"]
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    said = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    root = pathlib.Path(f"/proc/{pid}/mounts").read_text().splitlines()
    root = next(line.split()[3] for line in root if line.split()[1] == "/").split(",")
    wrong = {
        "it is not user 10001": said["Uid"].split() != ["10001"] * 4 or said["Gid"].split() != ["10001"] * 4,
        "it has a capability": any(said[name].strip("0") for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")),
        "it may gain rights": said["NoNewPrivs"] != "1",
        "its system calls are not filtered": said["Seccomp"] != "2",
        "its root can be written": "ro" not in root,
        "its memory has another bound": memory_max(pid) != memory,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


def memory_max(pid):
    """The bound of a process's memory, by either generation of control groups; none where there is none."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = {"memory": "/sys/fs/cgroup/memory{}/memory.limit_in_bytes", "": "/sys/fs/cgroup{}/memory.max"}
        if controllers in names:
            file = pathlib.Path(names[controllers].format(path))
            if file.exists() and file.read_text().strip().isdigit():
                return int(file.read_text())
    return None
