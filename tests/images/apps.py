"""Images of apps: the generated Dockerfiles, built by buildah from local bases, looked through, and run without a right."""

import os
import pathlib
import shutil
import stat

from bases import Bases
from declared import WORDS, answers, drained, stop_of
from engine import Failed, asked, bytes_of, demand, faults_of_rights, refused, run, until

# Programs that an image which serves has no use for, and whoever breaks in has.
SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh"}
INSTALLERS = {"apt", "apt-get", "dpkg", "pip", "pip3", "uv", "npm", "npx", "cargo", "apk"}
COMPILERS = {"gcc", "cc", "g++", "ld", "as", "rustc", "make", "tcc"}
SECRET = "sk-leaked-by-the-folder"


def faults_of_files(root):
    """What an image holds that it must not."""
    found = []
    for folder, folders, names in os.walk(root):
        for name in names:
            path = pathlib.Path(folder, name)
            mode = path.lstat().st_mode
            runs = stat.S_ISLNK(mode) or mode & 0o111
            kinds = {"a shell": SHELLS, "an installer": INSTALLERS, "a compiler": COMPILERS}
            if runs and pathlib.Path(folder).name in ("bin", "sbin"):
                found += [f"{what}: /{path.relative_to(root)}" for what, known in kinds.items() if name in known]
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                found.append(f"another's rights: /{path.relative_to(root)}")
            if name == ".env" or name.startswith(".env."):
                found.append(f"a file of secrets: /{path.relative_to(root)}")
        folders[:] = [name for name in folders if not pathlib.Path(folder, name).is_symlink()]
    data = (root / "data").stat()
    if data.st_uid != 10001 or data.st_mode & 0o022:
        # A fresh volume takes the folder's owner, and could not be written.
        found.append(f"another's folder: /data is of {data.st_uid}, mode {data.st_mode:o}")
    return found


def imported(engine, name, archive, *changes):
    """An image of the files of an archive, with variables."""
    words = [part for change in changes for part in ("--change", f"ENV {change}")]
    engine.podman("import", "--quiet", *words, archive, f"localhost/{name}")
    return f"localhost/{name}"


def toolchain():
    """The folder of the Rust toolchain that builds Mainstay."""
    return run("rustc", "--print", "sysroot").strip()


def bases_of(engine, bases, language):
    """The arguments that put local images in the places of those that a Dockerfile names, and what they are lent."""
    # What the machine trusts is lent to stages that build, and these variables have their programs read it.
    trusted = "/etc/ssl/certs/ca-certificates.crt"
    path = "/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin"
    lent = [f"PATH={path}", f"SSL_CERT_FILE={trusted}", f"NODE_EXTRA_CA_CERTS={trusted}"]
    if language in ("python", "uv"):
        images = {
            "PYTHON_BUILD": imported(engine, "python-build", bases.debian("python-build"), *lent),
            "PYTHON": imported(engine, "python", bases.debian("python")),
        }
        if language == "uv":
            images["UV"] = imported(engine, "uv", bases.uv())
        return images, []
    if language == "node":
        images = {
            "NODE_BUILD": imported(engine, "node-build", bases.node(True), *lent),
            "NODE": imported(engine, "node", bases.node(False)),
        }
        return images, []
    images = {
        "RUST_BUILD": imported(engine, "rust-build", bases.debian("rust-build"), *lent),
        "RUNTIME": imported(engine, "runtime", bases.debian("runtime")),
    }
    # Too large to be copied into an image for one build.
    return images, ["-v", f"{toolchain()}:/usr/local/rust:ro"]


def built(given, engine, spec, language, bases):
    """Ships the Dockerfile of a spec and builds it; gives the image."""
    out = given.work / f"{language}-deploy"
    run(given.mainstay, "ship", "docker", "--spec", spec, "--out", out)
    images, lent = bases_of(engine, bases, language)
    words = ["--build-arg", "MAINSTAY=localhost/mainstay:test"]
    for argument, image in images.items():
        words += ["--build-arg", f"{argument}={image}"]
    # What this machine trusts, so that packages can be had through whatever stands between.
    if pathlib.Path("/etc/ssl/certs").is_dir():
        words += ["-v", "/etc/ssl/certs:/etc/ssl/certs:ro"]
    image = f"localhost/talk-{language}"
    # In this format the check of health is kept, as by Docker's own builder.
    engine.buildah(
        "bud", "--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never", *lent, *words,
        "--ignorefile", out / "docker/Dockerfile.dockerignore", "--file", out / "docker/Dockerfile", "--tag", image, spec,
    )
    return image


def spec_at(given, language, name="spec"):
    """A copy of a spec, and beside it what must never get into an image."""
    spec = given.work / f"{language}-{name}"
    shutil.copytree(given.specs / language, spec)
    if language == "uv":
        shutil.copy(given.specs / "python/app.py", spec)
    (spec / ".env").write_text(f"WEB_KEY={SECRET}\n")
    (spec / "notes").mkdir()
    (spec / "notes/.env.local").write_text(f"WEB_KEY={SECRET}\n")
    return spec


def serve(engine, image):
    """The app answers through Mainstay, without a right, and ends in order."""
    container, base = engine.hardened(image, "--volume", "/data")
    try:
        until("it is ready", lambda: asked(f"{base}/ready")[0] == 200)
        demand(not (faults := faults_of_rights(engine, container)), f"{faults}")
        said = answers(base)
        demand("hello" in said, f"the app said {said}")
        engine.podman("healthcheck", "run", container)
        drained(engine, container, base, stop_of(engine, container))
    except Failed:
        print(engine.log(container))
        raise
    finally:
        engine.remove(container)


def check_of(language, title):
    """The check of one language."""
    def check(given, engine):
        spec = spec_at(given, language)
        image = built(given, engine, spec, language, Bases(given.cache))
        with engine.mounted(image) as root:
            demand(not (faults := faults_of_files(root)), f"the image holds {faults}")
            given.measure(title, bytes_of(root))
        serve(engine, image)
    return check


def careless(given, engine):
    """An image as one should not make it: what looks through images must see that."""
    folder = given.work / "careless"
    (folder / "app").mkdir(parents=True)
    (folder / "app/.env").write_text(f"WEB_KEY={SECRET}\n")
    (folder / "usr/bin").mkdir(parents=True)
    for name in ("dash", "pip", "gcc"):
        (folder / "usr/bin" / name).write_text("#!/bin/true\n")
        (folder / "usr/bin" / name).chmod(0o6755)
    (folder / "data").mkdir()
    found = faults_of_files(folder)
    kinds = {fault.split(":")[0] for fault in found}
    demand(len(kinds) == 6, f"of six kinds of fault, these were seen: {found}")
    spec = spec_at(given, "python", "unlocked")
    (spec / "requirements.txt").unlink()
    refused("an app without what it needs", lambda: built(given, engine, spec, "python", Bases(given.cache)))
