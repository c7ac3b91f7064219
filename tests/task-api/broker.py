"""The broker of a set of components, asked without Mainstay: its groups, what they have not committed, what lies on the topic."""

import json
import shutil
import socket
import time
import typing

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

TOPIC = "task-events"


class Embedded:
    """The one inside the runtime. Nobody else can ask it; it is away while it has no component file."""

    def __init__(self, service) -> None:
        self.service = service
        self.file = service.folder / "components" / service.set / "pubsub.yaml"
        self.aside = service.folder / "pubsub-aside.yaml"

    def groups(self) -> None:
        return None

    def away(self) -> None:
        shutil.move(self.file, self.aside)
        self.service.until("the broker is let go", lambda: "pubsub" not in self.service.components("task-service"))

    def back(self) -> None:
        shutil.move(self.aside, self.file)


class Server:
    """One that is a server beside the runtime."""

    def __init__(self, service) -> None:
        self.servers, self.port = service.servers, service.servers.ports["broker"]

    def away(self) -> None:
        self.servers.order("stop broker")

    def back(self) -> None:
        self.servers.order("start broker")


class Redis(Server):
    """A stream, with its consumer groups."""

    def ask(self, *words: str):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            asked = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{asked}".encode())
            with connection.makefile("rb") as answer:
                return self.read(answer)

    def read(self, answer: typing.BinaryIO):
        """One value of Redis's protocol."""
        line = answer.readline().decode().strip()
        kind, said = line[0], line[1:]
        if kind == "*":
            return [self.read(answer) for _ in range(int(said))]
        if kind == "$" and int(said) >= 0:
            return answer.read(int(said) + 2)[:-2].decode()
        assert kind != "-", said
        return None if said == "-1" else int(said) if kind == ":" else said

    def groups(self) -> dict[str, int]:
        """By group: the messages that it has not acknowledged."""
        groups = [dict(zip(one[::2], one[1::2])) for one in self.ask("XINFO", "GROUPS", TOPIC)]
        return {one["name"]: one["pending"] + (one["lag"] or 0) for one in groups}

    def messages(self) -> list[tuple[str | None, dict]]:
        entries = self.ask("XRANGE", TOPIC, "-", "+")
        fields = [dict(zip(entry[::2], entry[1::2])) for _, entry in entries]
        # A stream has one order for all, and no keys.
        return [(None, json.loads(one["data"])) for one in fields]


class Kafka(Server):
    """A topic of several partitions, with its consumer groups."""

    def groups(self) -> dict[str, int]:
        """By group: the messages that it has not committed (its lag), all partitions together."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.groups_now()
            except KafkaError as error:
                # A broker that is busy or has just started asks to be asked again.
                if not error.retriable or time.monotonic() > deadline:
                    raise

    def groups_now(self) -> dict[str, int]:
        at = f"localhost:{self.port}"
        admin, consumer = KafkaAdminClient(bootstrap_servers=at), KafkaConsumer(bootstrap_servers=at)
        try:
            partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC)]
            ends, behind = consumer.end_offsets(partitions), {}
            for group in ("task-service", "notification-service", "audit-service"):
                committed = admin.list_consumer_group_offsets(group)
                if committed:
                    offsets = {place: max(0, said.offset) for place, said in committed.items()}
                    behind[group] = sum(end - offsets.get(place, 0) for place, end in ends.items())
            return behind
        finally:
            consumer.close()
            admin.close()

    def messages(self) -> list[tuple[str | None, dict]]:
        consumer = KafkaConsumer(bootstrap_servers=f"localhost:{self.port}", enable_auto_commit=False)
        try:
            partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
            count, found = sum(ends.values()) - sum(starts.values()), []
            deadline = time.monotonic() + 30
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} messages could be read"
                for records in consumer.poll(200).values():
                    found += [(record.key and record.key.decode(), json.loads(record.value)) for record in records]
            return found
        finally:
            consumer.close()


BROKERS: dict[str, type] = {"embedded": Embedded, "redis": Redis, "postgres-kafka": Kafka}
