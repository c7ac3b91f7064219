"""The real binary, on a free port, with the scripted model of `specs/fronts.yaml`. One server for all tests.

The SDKs are used as their users do: a base URL and a key, nothing patched.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

LISTENING = "mainstay: listening on "
PATIENCE_S = 30
KEY = "sk-test-tests"
SLOW_KEY = "sk-test-slow"


def start(spec: pathlib.Path, folder: pathlib.Path) -> tuple[subprocess.Popen, str]:
    """Starts `mainstay serve` and returns it with its base URL."""
    shutil.copy(spec, folder / "mainstay.yaml")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MAINSTAY_LOG": "warn",
        "TEST_KEY": KEY,
        "SLOW_KEY": SLOW_KEY,
    }
    process = subprocess.Popen(
        [os.environ["MAINSTAY_BIN"], "serve", str(folder), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.start()
    for line in process.stdout:
        if line.startswith(LISTENING):
            timer.cancel()
            return process, line.removeprefix(LISTENING).strip()
    timer.cancel()
    raise RuntimeError(f"the server did not listen; it ended with {process.wait()}")


@pytest.fixture(scope="session")
def base_url(tmp_path_factory):
    spec = pathlib.Path(__file__).parent / "specs" / "fronts.yaml"
    process, url = start(spec, tmp_path_factory.mktemp("fronts"))
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0, "a server that is told to stop ends with 0"
