"""Records for a real Kafka, where a test needs neither the service's command nor a stream."""

from contextlib import closing

from kafka import KafkaProducer

from delivery.embedded.kafka import KafkaServer


def publish(server: KafkaServer, topic: str, *contents: bytes | None) -> None:
    """Returns when Kafka has them all. A null value goes with a key only."""
    with closing(KafkaProducer(bootstrap_servers=server.bootstrap_servers)) as producer:
        for content in contents:
            producer.send(topic, content, b"1" if content is None else None)
        producer.flush()
