"""Images, built and run on this machine without a Docker engine: what `mainstay image build` makes, what the generated
Dockerfiles make, and the stack of the generated Compose file.

Each part says what it measured. What cannot be had here is said as *not run*, with the reason; whatever is looked at is
also shown something that it must refuse.
"""

import argparse
import pathlib
import sys
import time

import apps
import declared
import stack
from engine import Engine, Failed, demand

MEGABYTE = 1e6
# Bytes of an image that is unpacked, at most: of the whole, and of what is beside the binary.
BARS = {
    "declared agent": (40 * MEGABYTE, MEGABYTE),
    "Python, pip": (180 * MEGABYTE, 140 * MEGABYTE),
    "Python, uv": (180 * MEGABYTE, 140 * MEGABYTE),
}
PARTS = {
    "declared": declared.check,
    "python": apps.check_of("python", "Python, pip"),
    "uv": apps.check_of("uv", "Python, uv"),
    "node": apps.check_of("node", "Node.js"),
    "rust": apps.check_of("rust", "Rust"),
    "careless": apps.careless,
    "stack": stack.check,
}


class Given:
    """What the parts share."""

    def __init__(self, words):
        self.mainstay, self.static = words.mainstay.resolve(), words.static.resolve()
        self.work, self.cache = words.work.resolve(), words.cache.resolve()
        self.tools = words.tools and words.tools.resolve()
        self.specs = pathlib.Path(__file__).parent / "specs"
        self.notes = []

    def measure(self, what, size):
        """Holds an image against its bars; the whole only where the binary that is tested is one that is given to others,
        which is linked statically: that of development is three times as large."""
        binary = self.static.stat().st_size
        whole, beside = BARS.get(what, (None, None))
        text = f"{what}: {size / MEGABYTE:.1f} MB, {(size - binary) / MEGABYTE:.1f} MB beside the binary"
        if whole and self.mainstay == self.static:
            text += f"; at most {whole / MEGABYTE:.0f} MB"
            fits = size <= whole
        elif whole:
            text += f", at most {beside / MEGABYTE:.0f} MB"
            fits = size - binary <= beside
        else:
            fits = True
        self.say(text)
        demand(fits, text)

    def say(self, text):
        """Shows a line now, and keeps it for the end."""
        print(text, flush=True)
        self.notes.append(text)


def main():
    """Runs the parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mainstay", required=True, type=pathlib.Path)
    parser.add_argument("--static", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--tools", type=pathlib.Path)
    parser.add_argument("--only", choices=PARTS, action="append")
    words = parser.parse_args()
    given = Given(words)
    engine = Engine(given.work)
    failed = False
    try:
        if words.only and "declared" not in words.only:
            # The other images take the binary from this one.
            declared.build(given, engine)
        for name in words.only or PARTS:
            begin = time.monotonic()
            try:
                PARTS[name](given, engine)
            except Failed as fault:
                failed = True
                print(f"FAILED {name}: {fault}", flush=True)
            print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    finally:
        engine.end()
    (given.work / "notes").write_text("\n".join(given.notes))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
