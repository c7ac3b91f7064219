"""The servers that a set of components needs, and the ports they are on."""

import subprocess

NEEDED = {"embedded": [], "redis": ["redis"], "postgres-kafka": ["postgresql", "kafka"]}


class Missing(Exception):
    """A server that cannot be had here."""


class Servers:
    """The servers of a set, for as long as the context lasts; `ports` by name."""

    def __init__(self, program: str, name: str) -> None:
        self.words = [program, *NEEDED[name]]
        self.ports: dict[str, int] = {}

    def __enter__(self) -> "Servers":
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
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
