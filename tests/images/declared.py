"""The image of a declared agent: made without an engine, pushed to Docker's registry, pulled by digest by podman and run
without a right."""

import base64
import contextlib
import http.client
import json
import shutil
import subprocess
import threading
import urllib.request

from engine import KEY, Failed, asked, bytes_of, demand, faults_of_rights, free_port, refused, request, run, until

# tester:secret-of-the-registry, as bcrypt has it, which is all that the registry takes.
PASSWORDS = "tester:$2b$05$abcdefghijklmnopqrstuuIwTm9henchirBqUfvuoNrWExGiIP5SK\n"
WHO = "tester:secret-of-the-registry"
WORDS = [f"word{n}" for n in range(40)]


@contextlib.contextmanager
def registry(work, port):
    """Docker's registry on a port of this machine, which wants a password."""
    (work / "registry.passwords").write_text(PASSWORDS)
    config = work / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {work}/registry }} }}\n"
        f"http: {{ addr: '127.0.0.1:{port}' }}\n"
        f"auth: {{ htpasswd: {{ realm: tests, path: {work}/registry.passwords }} }}\n"
    )
    with open(work / "registry.log", "w") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
        try:
            until("the registry answers", lambda: asked(f"http://127.0.0.1:{port}/v2/")[0] == 401)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def credentials(work, port, who):
    """A folder with Docker's configuration in which someone has logged in; nobody without a name."""
    folder = work / f"docker-{(who or 'nobody').split(':')[-1]}"
    folder.mkdir(exist_ok=True)
    known = {f"127.0.0.1:{port}": {"auth": base64.b64encode(who.encode()).decode()}} if who else {}
    (folder / "config.json").write_text(json.dumps({"auths": known}))
    return {"DOCKER_CONFIG": str(folder), "PATH": "/usr/bin:/bin"}


def spec_at(given, folder, image):
    """A copy of the spec with another image's name, and beside it what must never get into an image."""
    shutil.copytree(given.specs / "declared", folder)
    path = folder / "mainstay.yaml"
    path.write_text(path.read_text().replace("registry.example.com/acme/desk", image))
    (folder / ".env").write_text("WEB_KEY=leak\n")
    return folder


def smallest(path):
    """A file with the head of a static binary and nothing behind it, where what the binary does is not looked at: the real
    one takes its time to be packed."""
    head = bytearray(64 + 56)
    head[:6] = b"\x7fELF\x02\x01"
    # The machine, where the program headers are, their size and number, and the kind of the one there is: to be loaded.
    head[18], head[32], head[54], head[56], head[64] = 62, 64, 56, 1, 1
    path.write_bytes(head)
    return path


def digest_of(said):
    """The digest that a build printed."""
    return said.split("@", 1)[1].split()[0]


def built(given, spec, binary, *words, **options):
    """Builds the image of a spec."""
    return run(given.mainstay, "image", "build", "--binary", binary, "--spec", spec, *words, **options)


def files_of(layout):
    """The names in an image layout's layers."""
    index = json.loads((layout / "index.json").read_text())
    blob = lambda digest: layout / "blobs" / digest.replace(":", "/")  # noqa: E731
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    names = []
    for layer in manifest["layers"]:
        names += run("tar", "-tzf", blob(layer["digest"])).split()
    return names


def build(given, engine):
    """The same files give the same digest, other files another; nothing gets in that the spec does not name."""
    work = given.work / "declared"
    work.mkdir()
    spec = spec_at(given, work / "spec", "registry.example.com/acme/desk")
    small = smallest(work / "small")
    first = built(given, spec, small, "--out", work / "first")
    again = built(given, spec, small, "--out", work / "again.tar")
    demand(first == again, f"twice the same files, and two images:\n{first}{again}")
    names = files_of(work / "first")
    demand("app/prompts/triage.md" in names and not any(".env" in name for name in names), f"it holds {names}")
    prompt = spec / "prompts/triage.md"
    prompt.write_text(prompt.read_text() + "Be very brief.\n")
    other = built(given, spec, small, "--out", work / "other")
    demand(digest_of(other) != digest_of(first), "another prompt, and the same digest")
    refused(
        "a binary that needs libraries",
        lambda: built(given, spec, "/bin/cat", "--out", work / "none"),
        because="statically linked",
    )
    said = built(given, spec, given.static, "--out", work / "layout")
    print(said, end="")
    engine.tag(work / "layout", "localhost/mainstay:test")
    with engine.mounted("localhost/mainstay:test") as root:
        given.measure("declared agent", bytes_of(root))


def push(given, engine):
    """It is in the registry as it was built, and whoever may not push, or cannot, is told so. Gives its name by digest."""
    work, port = given.work / "declared", free_port()
    name = f"127.0.0.1:{port}/acme/desk"
    spec = spec_at(given, work / "pushed", name)
    pushed = lambda binary, who: built(given, spec, binary, "--push", env=credentials(work, port, who))  # noqa: E731
    small = work / "small"
    refused("a registry that is away", lambda: pushed(small, WHO), because=f"127.0.0.1:{port}")
    with registry(work, port):
        refused("a push by nobody", lambda: pushed(small, None), because="log in first")
        refused("a push with a wrong password", lambda: pushed(small, "tester:wrong"), because="401")
        # The tag moves on to what is pushed last, and is where it was after a second push of the same.
        demand(pushed(small, WHO) == pushed(small, WHO), "a second push is another image")
        said = pushed(given.static, WHO)
        look = ["skopeo", "inspect", "--tls-verify=false", "--creds", WHO]
        seen = json.loads(run(*look, f"docker://{name}:1.0.0"))
        demand(seen["Digest"] == digest_of(said), f"skopeo sees {seen['Digest']}, built was {digest_of(said)}")
        demand(not any("WEB_KEY" in one for one in seen["Env"]), f"a secret is in the image: {seen['Env']}")
        pull = ["pull", "--quiet", "--tls-verify=false", "--creds", WHO]
        wrong = f"{name}@sha256:{'0' * 64}"
        refused("a digest that is not there", lambda: engine.podman(*pull, wrong), because="unknown")
        engine.podman(*pull, f"{name}@{digest_of(said)}")
    return f"{name}@{digest_of(said)}"


def answers(base):
    """Whoever has a key is answered, and nobody else. Gives the answer."""
    status, answer = asked(f"{base}/v1/invoke", {"query": "hello"}, KEY)
    demand(status == 200, f"a question with a key: {status} {answer}")
    for key in (None, "sk-another"):
        status, said = asked(f"{base}/v1/invoke", {"query": "hello"}, key)
        demand(status == 401, f"a question with the key {key}: {status} {said}")
    return answer


def drained(engine, container, base, stop):
    """A stream that is open when the order to stop comes goes to its end, new work is refused, and the process ends with 0."""
    words = WORDS[-1]
    with urllib.request.urlopen(request(f"{base}/v1/stream", {"query": " ".join(WORDS)}, KEY), timeout=60) as answer:
        first = answer.readline()
        stopping = threading.Thread(target=stop)
        stopping.start()
        # Refused is either of: 503, or no connection.
        until("new work is refused", lambda: asked(f"{base}/v1/invoke", {"query": "x"}, KEY)[0] in (503, None))
        try:
            rest = (first + answer.read()).decode()
        except (OSError, http.client.HTTPException) as error:
            rest = f"cut: {error}"
        stopping.join()
    demand(words in rest, f"the stream was cut: {rest[-300:]}")
    code = engine.state(container)["State"]["ExitCode"]
    demand(code == 0, f"it ended with {code}")


def stop_of(engine, container):
    """The order to stop, with the time that the manifests give."""
    return lambda: engine.podman("stop", "--time", "45", container)


def serve(given, engine, image):
    """It runs without a right, answers, says how it is, and ends in order."""
    container, base = engine.hardened(image, "--volume", "/data")
    try:
        until("it is ready", lambda: asked(f"{base}/ready")[0] == 200)
        demand(not (faults := faults_of_rights(engine, container)), f"{faults}")
        answers(base)
        health = ["exec", container, "/usr/local/bin/mainstay", "healthcheck"]
        engine.podman(*health)
        elsewhere = [*health[:1], "--env", "MAINSTAY_LISTEN=127.0.0.1:9", *health[1:]]
        refused("the health of what does not run", lambda: engine.podman(*elsewhere))
        drained(engine, container, base, stop_of(engine, container))
    except Failed:
        print(engine.log(container))
        raise
    finally:
        engine.remove(container)


def broken(given, engine, image):
    """The same image run carelessly and killed: what looks at it must see that."""
    port = free_port()
    container = engine.podman(
        "run", "--detach", "--user", "0", "--privileged", "--env", f"WEB_KEY={KEY}",
        "--publish", f"127.0.0.1:{port}:8080", image,
    ).strip()
    base = f"http://127.0.0.1:{port}"
    try:
        until("it is ready", lambda: asked(f"{base}/ready")[0] == 200)
        faults = faults_of_rights(engine, container)
        demand(len(faults) == 6, f"of six faults, these were seen: {faults}")
        kill = lambda: engine.podman("kill", "--signal", "KILL", container)  # noqa: E731
        refused("a stream that was cut", lambda: drained(engine, container, base, kill), because="cut")
    finally:
        engine.remove(container)


def check(given, engine):
    """Everything of the declared agent's image."""
    build(given, engine)
    image = push(given, engine)
    serve(given, engine, image)
    broken(given, engine, image)
