"""The acceptance test of examples/task-api: its success criteria and those of its events, on each set of components, for each
of the twins. It starts what a newcomer starts (`mainstay run -f`), in a copy of the example on free ports, and speaks HTTP.

    python tests/task-api/acceptance.py --mainstay BINARY --servers BINARY [--set NAME]… [--twin NAME]… [--rust FOLDER]

A set whose servers are missing is shown as not run, with the reason. The last line counts; the exit code is 0 if nothing failed.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
import traceback

import checks
from service import Service
from servers import Servers, Missing

SETS = ["embedded", "redis", "postgres-kafka"]
TWINS = ["python", "rust"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, help="the binary")
    parser.add_argument("--servers", required=True, help="the binary that starts servers (test-servers)")
    parser.add_argument("--rust", help="the folder of the Rust twin's programs; without it that twin is not run")
    parser.add_argument("--set", action="append", choices=SETS)
    parser.add_argument("--twin", action="append", choices=TWINS)
    return parser.parse_args()


def run(given: argparse.Namespace, twin: str, name: str) -> dict[str, str]:
    """How each check ended: empty for one that passed, else the reason."""
    outcomes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(Servers(given.servers, name))
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="task-api-")))
        service = stack.enter_context(Service(folder, twin, name, given, servers))
        for check in checks.ALL:
            try:
                check(service)
                outcomes[check.__name__] = ""
            except checks.NotRun as reason:
                outcomes[check.__name__] = f"not run: {reason}"
            except Exception as error:  # every check is run, whatever the others do
                outcomes[check.__name__] = f"FAILED: {type(error).__name__}: {error}"
                traceback.print_exc()
                print(service.logs(), file=sys.stderr)
            print(f"  {check.__name__:<60} {outcomes[check.__name__] or 'passed'}", flush=True)
    return outcomes


def main() -> int:
    given = arguments()
    os.environ.pop("DAPR_API_TOKEN", None)
    passed = failed = skipped = 0
    table = []
    for twin in given.twin or TWINS:
        for name in given.set or SETS:
            print(f"{twin} on {name}", flush=True)
            if twin == "rust" and given.rust is None:
                outcome, skipped = "not run: its programs were not given", skipped + 1
            else:
                try:
                    outcomes = run(given, twin, name)
                    bad = sum(why.startswith("FAILED") for why in outcomes.values())
                    left = sum(why.startswith("not run") for why in outcomes.values())
                    good = len(outcomes) - bad - left
                    passed, failed, skipped = passed + good, failed + bad, skipped + left
                    outcome = f"{good} passed, {bad} failed, {left} not run"
                except Missing as reason:
                    outcome, skipped = f"not run: {reason}", skipped + 1
                except Exception as error:
                    traceback.print_exc()
                    outcome, failed = f"FAILED: {error}", failed + 1
            table.append(f"{twin:<8} {name:<16} {outcome}")
            print(f"  {outcome}", flush=True)
    print("\n".join(["", *table, "", f"{passed} passed, {failed} failed, {skipped} skipped"]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
