"""How far a consumer group is behind, as Kafka itself says it."""

from kafka import KafkaAdminClient, KafkaConsumer


def of(service, group: str) -> int:
    """Messages that the group has not committed, all partitions of the topic together."""
    at = f"localhost:{service.servers.ports['kafka']}"
    admin = KafkaAdminClient(bootstrap_servers=at)
    consumer = KafkaConsumer(bootstrap_servers=at)
    try:
        committed = admin.list_consumer_group_offsets(group)
        ends = consumer.end_offsets(list(committed))
        return sum(max(0, ends[partition] - max(0, at.offset)) for partition, at in committed.items())
    finally:
        consumer.close()
        admin.close()
