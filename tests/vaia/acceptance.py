"""What `examples/vaia` promises, asked of the real binary beside a real Chroma, over the wire alone.

The scripted model stands for Gemini: it looks every question up and says what it was told. So the passages that come back
went the whole way: embedded by the service, kept by Chroma, found again by the tool.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import httpx
import live

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/vaia"
BIN = pathlib.Path(sys.executable).parent
PATIENCE = 60
LISTENING = "mainstay: listening on http://"

failures = []
done = 0


def check(what, ok, seen=""):
    """Counts a check; remembers what failed."""
    global done
    done += 1
    if not ok:
        failures.append(what)
        print(f"FAILED {what}: {seen}", flush=True)


def free_port():
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait(what, look):
    """Waits until a look finds something, and gives it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError, OSError):
            if found := look():
                return found
        time.sleep(0.05)
    raise SystemExit(f"{what}: not within {PATIENCE} s")


@contextlib.contextmanager
def running(words, log, **options):
    """A process that lives as long as the block."""
    with log.open("w") as out:
        process = subprocess.Popen([str(w) for w in words], stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def chroma_words(program, work, port):
    """How the server is started, with a folder of its own."""
    return [program, "run", "--path", work / "chroma-data", "--host", "127.0.0.1", "--port", port]


def chroma(program, work, port):
    """The server."""
    words = chroma_words(program, work, port)
    return running(words, work / "chroma.log", env={**os.environ, "ANONYMIZED_TELEMETRY": "False"})


def mainstay(binary, spec, work, **more):
    """The service on a port of its own choice."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
    env |= {"HOME": str(work), "MAINSTAY_DATA_FOLDER": str(work / "data"), **more}
    return running([binary, "serve", spec, "--listen", "127.0.0.1:0"], work / "mainstay.log", env=env)


def address(work):
    """Where the service listens, from what it prints."""

    def look():
        lines = (work / "mainstay.log").read_text().splitlines()
        return next((line.removeprefix(LISTENING).strip() for line in lines if line.startswith(LISTENING)), None)

    return "http://" + wait("the service listens", look)


def script(name, *words):
    """One of the example's own programs."""
    made = subprocess.run(
        [sys.executable, EXAMPLE / name, *map(str, words)], capture_output=True, text=True, timeout=120
    )
    return made.returncode, made.stdout + made.stderr


def contract(client):
    """The route's own shapes and statuses."""
    asked = {"query": "How do I descale the kettle?", "context": "I live in Bergen.", "session_id": "s-1"}
    answer = client.post("/v1/agent/infer", json=asked)
    body = answer.json()
    check("an answer is 200", answer.status_code == 200, answer.text)
    check("it has its four fields", sorted(body) == ["answer", "finish_reason", "model", "session_id"], body)
    check("the session is given back", body.get("session_id") == "s-1", body)
    check("the right passage was found", '"id":"care-1"' in body.get("answer", ""), body)
    check("with its metadata and its distance", '"title":"Care"' in body["answer"] and '"distance"' in body["answer"], body)
    for what, bad in [
        ("no query", {}),
        ("an empty query", {"query": ""}),
        ("a query that is too long", {"query": "x" * 4097}),
        ("context that is too long", {"query": "x", "context": "y" * 8193}),
    ]:
        said = client.post("/v1/agent/infer", json=bad)
        check(f"{what} is 422", said.status_code == 422 and said.json()["error"] == "INVALID_FIELD", said.text)
    longest = client.post("/v1/agent/infer", json={"query": "x" * 4096, "context": "y" * 8192})
    check("the longest of both is answered", longest.status_code == 200, longest.text)
    quota = client.post("/v1/agent/infer", json={"query": "simulate quota"})
    wanted = ("demo-fallback", "QUOTA_EXCEEDED_DEMO_FALLBACK")
    found = (quota.json().get("model"), quota.json().get("finish_reason"))
    check("no quota is the prepared answer", quota.status_code == 200 and found == wanted, quota.text)
    key = client.post("/v1/agent/infer", json={"query": "simulate bad key"})
    check("a refused key is 503", key.status_code == 503 and key.json()["error"] == "PROVIDER_AUTH", key.text)
    check("and says what to do", "api_key" in key.json().get("detail", ""), key.text)
    outage = client.post("/v1/agent/infer", json={"query": "simulate outage"})
    check("an outage is no answer", outage.status_code == 503 and "Traceback" not in outage.text, outage.text)


def retrieval(client):
    """Each question finds its passage; what is far off finds none."""
    for question, passage in [
        ("The kettle does not switch on", "faults-2"),
        ("How long does the warranty last?", "returns-2"),
        ("When do I get my refund?", "returns-3"),
    ]:
        answer = client.post("/v1/agent/infer", json={"query": question}).json().get("answer", "")
        first = answer.partition('"id":"')[2].partition('"')[0]
        check(f"`{question}` finds {passage} first", first == passage, answer)
    answer = client.post("/v1/agent/infer", json={"query": "quantum chromodynamics"}).json().get("answer", "")
    check("nothing is near what the handbook does not have", "nothing in the collection" in answer, answer)


def around(client):
    """Health, readiness and metrics."""
    check("it lives", client.get("/health/live").status_code == 200)
    ready = client.get("/health/ready")
    named = [one["name"] for one in ready.json()["dependencies"]]
    check("it is ready, and the tool is a dependency", ready.status_code == 200 and "tool handbook" in named, ready.text)
    metrics = client.get("/metrics").text
    for wanted in [
        'mainstay_tool_calls_total{tool="handbook",outcome="ok"}',
        'vaia_requests_total{endpoint="/v1/agent/infer",status="200"}',
        "vaia_agent_ready 1",
        'model="embedding"',
    ]:
        check(f"/metrics has {wanted}", wanted in metrics, metrics[:2000])


def load(url):
    """The load test passes, and can fail."""
    code, said = script("load.py", "--url", url, "--callers", 8, "--seconds", 3)
    check("the load test passes", code == 0 and "verdict   good" in said, said)
    print(said.rstrip())
    code, said = script("load.py", "--url", "http://127.0.0.1:1", "--callers", 2, "--seconds", 0.5)
    check("a load test of nobody fails", code == 1 or "ConnectError" in said, said)
    code, said = script("load.py", "--url", url, "--callers", 2, "--seconds", 0.5, "--p95", 0)
    check("a load test that is too slow fails", code == 1 and "p95 is above" in said, said)


def shipped(given, spec, port):
    """The spec that is shipped passes the live items of the production checklist, a time without Chroma among them."""
    at = f"http://127.0.0.1:{port}"
    path = live.spec(spec, at)
    with chroma(given.chroma, given.work, port) as server, mainstay(given.mainstay, path, given.work, **live.KEYS) as service:
        url = address(given.work)
        wait("it is ready", lambda: httpx.get(f"{url}/health/ready").status_code == 200)
        more, end = live.commands(chroma_words(given.chroma, given.work, port), given.work, server)
        try:
            found = live.items(given.mainstay, path, url, service, more)
            live.checklist(check, found)
            print(f"{len(found)} live items of the production checklist")
        finally:
            end()


def without_a_key(binary, work):
    """The shipped spec says which variable it lacks."""
    spec = EXAMPLE / "mainstay.yaml"
    env = {name: value for name, value in os.environ.items() if name not in ("GEMINI_API_KEY", "VAIA_KEY")}
    env |= {"MAINSTAY_DATA_FOLDER": str(work / "none")}
    words = [binary, "serve", spec, "--listen", "127.0.0.1:0"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    said = made.stdout + made.stderr
    check("without a key it does not start", made.returncode not in (0, -9), said)
    check("and names the variable", "GEMINI_API_KEY" in said, said)


def main():
    """Brings both up, asks, takes Chroma away, and asks again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--chroma", type=pathlib.Path, default=BIN / "chroma", help="Chroma's program")
    given = parser.parse_args()
    spec = given.work / "vaia"
    shutil.copytree(EXAMPLE, spec, ignore=shutil.ignore_patterns("deploy", ".venv", "__pycache__", "chroma-data"))
    port = free_port()
    offline = spec / "offline.yaml"
    offline.write_text(offline.read_text().replace("127.0.0.1:8001", f"127.0.0.1:{port}"))
    at = f"http://127.0.0.1:{port}"
    without_a_key(given.mainstay, given.work)
    with mainstay(given.mainstay, offline, given.work):
        url = address(given.work)
        client = httpx.Client(base_url=url, timeout=30)
        with chroma(given.chroma, given.work, port):
            wait("Chroma answers", lambda: httpx.get(f"{at}/api/v2/heartbeat").status_code == 200)
            missing = client.post("/v1/agent/infer", json={"query": "descale"}).json()
            check("a collection that is not there is told", "does not exist" in missing.get("answer", ""), missing)
            for round in ["made", "made again"]:
                code, said = script("fill.py", "--service", url, "--chroma", at)
                check(f"the collection is {round}", code == 0 and "9 passages, 0 taken away" in said, said)
            contract(client)
            retrieval(client)
            around(client)
            load(url)
        lost = wait("it is not ready without Chroma", lambda: (r := client.get("/health/ready")).status_code == 503 and r)
        away = [one for one in lost.json()["dependencies"] if not one["ready"]]
        check("the tool is what is away", [one["name"] for one in away] == ["tool handbook"], lost.text)
        check("but it lives", client.get("/health/live").status_code == 200)
        with chroma(given.chroma, given.work, port):
            wait("it is ready again", lambda: client.get("/health/ready").status_code == 200)
            again = client.post("/v1/agent/infer", json={"query": "warranty"}).json()
            check("what Chroma kept is found again", "returns-2" in again.get("answer", ""), again)
    shipped(given, spec, port)
    print(f"{done} checks, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
