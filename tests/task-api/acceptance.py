"""The acceptance test of examples/task-api: its success criteria and those of its events, on each set of components, for each
of the twins. It starts what a newcomer starts (`mainstay run -f`), in a copy of the example on free ports, and speaks HTTP.
The set `served` is the Python twin as the apps of one service (`mainstay serve`).

    python tests/task-api/acceptance.py --mainstay BINARY --servers BINARY [--set NAME]… [--twin NAME]… [--rust FOLDER] [--seed N]
        [--not-run FILE]

A set whose servers are missing is shown as not run, with the reason, and is a line of FILE. The last line counts; the exit code is 0 if nothing failed.
"""

import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import random
import sys
import tempfile
import time
import traceback

import checks
from served import Served
from service import SETS, Service
from servers import Servers, Missing

TWINS = ["python", "rust"]
SERVED = "served"
AT_ONCE = 2
"""Runs beside each other: they wait more than they work."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, help="the binary")
    parser.add_argument("--servers", required=True, help="the binary that starts servers (test-servers)")
    parser.add_argument("--rust", help="the folder of the Rust twin's programs; without it that twin is not run")
    parser.add_argument("--set", action="append", choices=[*SETS, SERVED])
    parser.add_argument("--twin", action="append", choices=TWINS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the moments when the runtime is killed")
    parser.add_argument("--not-run", metavar="FILE", help="where what was not run is written, a line each; empty where all was")
    return parser.parse_args()


class Run:
    """One twin on one set. What it says is shown when it is over, for others run beside it."""

    def __init__(self, given: argparse.Namespace, twin: str, name: str) -> None:
        self.given, self.twin, self.name = given, twin, name
        self.said = [f"{twin} on {name}"]
        self.passed = self.failed = 0
        self.missing = ""

    def say(self, line: str) -> None:
        self.said.append(f"  {line}")

    def run(self) -> "Run":
        if self.twin == "rust" and self.given.rust is None:
            self.missing = "its programs were not given"
            return self
        try:
            self.check()
        except Missing as reason:
            self.missing = str(reason)
        except Exception:
            self.failed += 1
            self.say(traceback.format_exc())
        return self

    def check(self) -> None:
        with contextlib.ExitStack() as stack:
            is_served = self.name == SERVED
            servers = stack.enter_context(Servers(self.given.servers, "embedded" if is_served else self.name))
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="task-api-")))
            if is_served:
                service = stack.enter_context(Served(folder, self.given, servers, self.say))
            else:
                service = stack.enter_context(Service(folder, self.twin, self.name, self.given, servers, self.say))
            for check in checks.SERVED if is_served else checks.ALL:
                begin = time.monotonic()
                try:
                    check(service)
                    self.passed += 1
                    outcome = "passed"
                except Exception as error:  # every check is run, whatever the others do
                    self.failed += 1
                    outcome = f"FAILED: {type(error).__name__}: {error}"
                    self.say(f"{traceback.format_exc()}\n{service.logs()}")
                self.say(f"{time.monotonic() - begin:>5.1f} s  {check.__name__:<72} {outcome}")

    def __str__(self) -> str:
        ended = f"not run: {self.missing}" if self.missing else f"{self.passed} passed, {self.failed} failed"
        return f"{self.twin:<8} {self.name:<16} {ended}"


def main() -> int:
    given = arguments()
    os.environ.pop("DAPR_API_TOKEN", None)
    print(f"--seed {given.seed}", flush=True)
    # The longest first: of those who are killed Kafka keeps the place for seconds.
    names = sorted(given.set or [*SETS, SERVED], key=lambda name: name != "postgres-kafka")
    twins = given.twin or TWINS
    runs = [Run(given, twin, name) for name in names for twin in twins if (twin, name) != ("rust", SERVED)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(Run.run, runs):
            print("\n".join(one.said), flush=True)
    passed, failed = sum(one.passed for one in runs), sum(one.failed for one in runs)
    skipped = sum(one.missing != "" for one in runs)
    print("\n".join(["", *map(str, runs), "", f"{passed} passed, {failed} failed, {skipped} skipped"]))
    if given.not_run:
        lines = [f"{one.twin} on {one.name}: {one.missing}\n" for one in runs if one.missing]
        pathlib.Path(given.not_run).write_text("".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
