"""The production checklist on the running `examples/vaia`: its spec as it is shipped, but for a scripted model in the place of
Gemini, a Chroma on this machine, and a second caller. Chroma is taken away and brought back by the checklist itself."""

import json
import os
import shlex
import signal
import subprocess

KEYS = {"VAIA_KEY": "sk-of-the-web-of-vaia", "OTHER_KEY": "sk-of-another-of-vaia"}
# Words that are said slowly enough to be told to stop meanwhile.
SCRIPTED = """gemini:
    scripted:
      tokens_per_second: 40
      replies:
        - { tool_calls: [{ name: handbook, arguments: { query: "{query}" } }] }
        - { after_tools: true, text: "The handbook says: {tool}. %s" }""" % " ".join(["word"] * 40)
# What is put in the place of what, in the spec.
CHANGES = {
    'gemini: { gemini: { api_key: "env:GEMINI_API_KEY" } }': SCRIPTED,
    "requests_per_minute: 600 }]": 'requests_per_minute: 600 }, { name: other, key: "env:OTHER_KEY", requests_per_minute: 600 }]',
}
# Items that cannot be shown here, and why. There is none.
NOT_SHOWN = {}


def spec(folder, chroma):
    """The spec, in a folder that holds the example."""
    text = (folder / "mainstay.yaml").read_text()
    for old, new in {**CHANGES, "http://chroma:8000": chroma}.items():
        if old not in text:
            raise SystemExit(f"examples/vaia has no `{old}` any more")
        text = text.replace(old, new)
    path = folder / "live.yaml"
    path.write_text(text)
    return path


def commands(words, work, server):
    """What takes Chroma away, and what brings it back, for the shell; and what ends that which was brought back."""
    pid = work / "chroma.pid"
    begin = shlex.join(str(word) for word in words)
    # What is brought back outlives the shell that does it.
    restore = f"nohup {begin} > {work / 'chroma-again.log'} 2>&1 & echo $! > {pid}"

    def end():
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)

    return ["--outage", f"kill {server.pid}", "--restore", restore], end


def items(binary, path, url, service, more):
    """The live items, each with its verdict: the key is used up, and the service ends with a stream open."""
    words = [binary, "check", "--production", path, "--format", "json", "--url", url, "--exhaust", "--drain", service.pid, *more]
    env = {**os.environ, **KEYS, "MAINSTAY_API_KEY": KEYS["VAIA_KEY"], "MAINSTAY_OTHER_API_KEY": KEYS["OTHER_KEY"]}
    made = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=420, env=env)
    if not made.stdout.startswith("{"):
        raise SystemExit(f"the checklist: {made.stderr}")
    return {item["id"]: item for item in json.loads(made.stdout)["items"] if item["layer"] == "live"}


def checklist(check, items):
    """Each item passes, but those that cannot be shown, which are unknown."""
    check("live items were judged", len(items) > len(NOT_SHOWN), items)
    check("items that cannot be shown are items", NOT_SHOWN.keys() <= items.keys(), NOT_SHOWN)
    for id, item in items.items():
        wanted = "unknown" if id in NOT_SHOWN else "pass"
        check(f"{id} is {wanted}", item["verdict"] == wanted, json.dumps(item, indent=1))
