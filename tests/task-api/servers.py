"""The servers that a set of components needs, and the ports they are on."""

import subprocess

NEEDED = {"embedded": [], "redis": ["redis@state", "redis@broker"], "postgres-kafka": ["postgresql@state", "kafka@broker"]}
"""By set: the kind, and what it is here. State and events have a server each, so that one can be away without the other."""


class Missing(Exception):
    """A server that cannot be had here."""


class Servers:
    """The servers of a set, for as long as the context lasts; `ports` by what they are."""

    def __init__(self, program: str, name: str) -> None:
        self.words = [program, *NEEDED[name]]
        self.ports: dict[str, int] = {}

    def __enter__(self) -> "Servers":
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self.words, stdin=pipe, stdout=pipe, text=True)
        while line := self.process.stdout.readline():
            name, _, said = line.strip().partition(" ")
            if name == "ready":
                return self
            if said.startswith("-"):
                self.__exit__()
                raise Missing(said.removeprefix("- "))
            self.ports[name] = int(said)
        raise Missing("the servers did not start")

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait(60)

    def order(self, line: str) -> None:
        """`stop NAME` or `start NAME`; returns when that is done."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        assert said == line, f"the servers did not do `{line}`: {said}"
