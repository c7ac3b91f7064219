"""The Dockerfile of an app in Python, built by buildah and run by podman, without an engine and without any base image.

The bases that the Dockerfile names are made here from Debian's packages: one with pip, one with the interpreter alone and
no shell. Mainstay's own image comes from `mainstay image build`. The image must be small enough, must hold no shell, and the
app in it must answer while nothing but /tmp and /data can be written.
"""

import argparse
import json
import os
import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from image import KEY, Podman, free_port, run, status, until, without_rights  # noqa: E402

HERE = pathlib.Path(__file__).parent
BASES = {
    # As the image of Python that has pip, and as the one that has nothing else.
    "PYTHON_BUILD": ["--variant=minbase", "--include=ca-certificates,python3,python3-pip"],
    "PYTHON": ["--variant=extract", "--include=python3.11,python3-minimal,ca-certificates,tzdata,base-files,netbase"],
}
DROPPED = "path-exclude=/usr/share/{man,doc,locale}/*"


class Builder:
    """buildah beside a podman that shares its storage."""

    def __init__(self, work):
        self.podman = Podman(work)
        self.words = ["buildah", *self.podman.words[1:]]
        self.environment = {**self.podman.environment, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *words):
        return run(*self.words, *words, env=self.environment)

    def base(self, name, cache):
        """An image from Debian's packages; the archive of its files is kept for the next time."""
        archive = cache / f"{name.lower()}.tar"
        if not archive.exists():
            made = archive.with_suffix(".part.tar")
            run("mmdebstrap", *BASES[name], f"--dpkgopt={DROPPED}", "bookworm", made)
            made.rename(archive)
        container = self("from", "scratch").strip()
        self("add", container, archive, "/")
        self("commit", "--rm", container, f"localhost/{name.lower()}")
        return f"localhost/{name.lower()}"


def bytes_of(root):
    """Bytes of the files below a folder, as they are on a disk."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            held = os.lstat(os.path.join(folder, name))
            found[held.st_ino] = held.st_size
    return sum(found.values())


def main():
    """Builds the image and looks at it from outside and inside."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--bytes-max", required=True, type=int)
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    builder = Builder(given.work)
    podman = builder.podman
    declared = HERE / "specs/declared"
    print(run(given.mainstay, "image", "build", "--spec", declared, "--out", given.work / "mainstay"))
    podman("pull", f"oci:{given.work}/mainstay:1.4.0")
    own = podman("images", "--quiet").split()[0]
    podman("tag", own, "localhost/mainstay")
    arguments = ["--build-arg", "MAINSTAY=localhost/mainstay"]
    for name in BASES:
        arguments += ["--build-arg", f"{name}={builder.base(name, given.cache)}"]
    spec = HERE / "specs/python"
    out = given.work / "out"
    run(given.mainstay, "ship", "docker", "--spec", spec, "--out", out)
    # What the machine trusts, so that packages can be had through whatever stands between.
    builder(
        "bud", "--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never",
        "-v", "/etc/ssl/certs:/etc/ssl/certs:ro", *arguments,
        "--ignorefile", out / "docker/Dockerfile.dockerignore", "-f", out / "docker/Dockerfile", "-t", "localhost/app", spec,
    )
    root = pathlib.Path(podman("image", "mount", "localhost/app").strip())
    size = bytes_of(root)
    print(f"localhost/app: {size / 1e6:.1f} MB unpacked")
    assert size <= given.bytes_max, f"{size} bytes, {given.bytes_max} at most"
    for name in ["bin/sh", "usr/bin/sh", "bin/bash", "usr/bin/pip", "usr/bin/gcc", "usr/bin/apt-get"]:
        assert not (root / name).exists(), f"the image holds {name}"
    assert not list(root.glob("app/.env*")), "the image holds a file of secrets"
    podman("image", "unmount", "localhost/app")
    port = free_port()
    container = podman(
        "run", "--detach", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--memory", "256m", "--no-healthcheck", "--tmpfs", "/tmp:size=64m,mode=1777",
        "--tmpfs", "/data:size=64m,mode=1777", "--env", f"MAINSTAY_LISTEN=127.0.0.1:{port}", "--network", "host",
        "localhost/app",
    ).strip()
    base = f"http://127.0.0.1:{port}"
    try:
        until("the app is ready", lambda: status(f"{base}/ready") == 200)
        without_rights(podman, container)
        request = urllib.request.Request(
            f"{base}/v1/invoke",
            data=json.dumps({"query": "hello there"}).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {KEY}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["response"] == "hello there"
        podman("stop", "--time", "45", container)
        code = podman("inspect", "--format", "{{.State.ExitCode}}", container).strip()
        assert code == "0", code
    except BaseException:
        print(podman("logs", container, check=False))
        raise
    finally:
        podman("rm", "--force", container, check=False)


if __name__ == "__main__":
    main()
