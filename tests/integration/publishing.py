"""Records for a real Kafka, where a test needs neither the service's command nor a stream."""

from contextlib import closing

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from processes import wait_until

from delivery.embedded.kafka import KafkaServer


def publish(server: KafkaServer, topic: str, *contents: bytes | None) -> None:
    """Returns when Kafka has them all. A null value goes with a key only."""
    with closing(KafkaProducer(bootstrap_servers=server.bootstrap_servers)) as producer:
        for content in contents:
            producer.send(topic, content, b"1" if content is None else None)
        producer.flush()


def recreate(admin: KafkaAdminClient, topic: str) -> None:
    """Deletes the topic and makes another one of its name, with one partition."""
    admin.delete_topics([topic])

    def is_made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, 1, 1)])
        except KafkaError:  # the old one is still on its way out
            return False
        return True

    wait_until(is_made, "the topic is made anew")
