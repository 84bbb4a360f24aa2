"""What Kafka says: its brokers, the topic, the group, and what we may do with both."""

from collections.abc import Iterator

from delivery.broker import inspection
from delivery.broker.inspection import Inspection, TopicState
from delivery.check.line import Line, failed, of_error, ok, warning
from delivery.errors import ForbiddenError, SettingsError, UnavailableError
from delivery.settings import KafkaSettings


def lines(settings: KafkaSettings, announce_topic: str | None) -> Iterator[Line]:
    """Each as soon as it is known."""
    try:
        with inspection.opened(settings) as kafka:
            brokers = kafka.brokers()
            yield ok("broker", f"Kafka with {_number(brokers, 'broker')}, {_login(settings)}")
            yield _topic(kafka, "topic", settings.kafka_topic, ["READ"], brokers)
            yield _group(kafka)
            if announce_topic is not None:
                wanted = ["READ", "WRITE"]
                yield _topic(kafka, "announce topic", announce_topic, wanted, brokers)
    except (SettingsError, UnavailableError, ForbiddenError) as error:
        todo = "see that Kafka runs, and what the settings DELIVERY_KAFKA_... are"
        yield of_error("broker", error, todo)


def _topic(kafka: Inspection, check: str, name: str, wanted: list[str], brokers: int) -> Line:
    try:
        topic = kafka.topic(name)
    except ForbiddenError as error:
        return of_error(check, error, _acl(kafka.settings, wanted, f"--topic {name}"))
    except UnavailableError as error:
        setting = "DELIVERY_KAFKA_TOPIC" if check == "topic" else "DELIVERY_ANNOUNCE_TOPIC"
        text = str(error).partition(": check ")[0]
        todo = f"correct {setting}, or make it: kafka-topics.sh --create --topic {name}"
        return failed(check, text, todo)
    if missing := [right for right in wanted if right not in topic.rights]:
        text = f"{name}: the right to {' and '.join(missing)} is missing"
        return failed(check, text, _acl(kafka.settings, missing, f"--topic {name}"))
    return _replicas(check, name, topic, brokers)


def _replicas(check: str, name: str, topic: TopicState, brokers: int) -> Line:
    said = f"{name}: {_number(topic.partitions, 'partition')}"
    if topic.leaderless:
        listed = ", ".join(map(str, topic.leaderless))
        text = f"{said}, without a leader: {listed}"
        return failed(check, text, "start the brokers that hold them", "unreachable")
    if topic.behind:
        listed = ", ".join(map(str, topic.behind))
        text = f"{said}, with replicas that are not in sync: {listed}"
        return warning(check, text, "look at the brokers that hold them")
    if topic.replicas == 1 and brokers > 1:
        return warning(
            check,
            f"{said} of one replica: with its broker a partition's records are lost",
            "give it three: kafka-reassign-partitions.sh; see deploy/kafka.md",
        )
    return ok(check, f"{said} of {_number(topic.replicas, 'replica')}")


def _group(kafka: Inspection) -> Line:
    name = kafka.settings.kafka_group_id
    todo = _acl(kafka.settings, ["READ"], f"--group {name}")
    try:
        group = kafka.group()
    except ForbiddenError as error:
        return of_error("group", error, todo)
    except UnavailableError as error:
        return of_error("group", error, "look at the brokers' logs: they keep the groups")
    if group.rights is not None and "READ" not in group.rights:
        return failed("group", f"{name}: the right to READ is missing", todo)
    members = _number(len(group.members), "member")
    return ok("group", f"{name}: {members}; `delivery status` says whether they read")


def _acl(settings: KafkaSettings, operations: list[str], resource: str) -> str:
    """As Kafka's own tool has it. Without a name the login tells who it is, such as a token."""
    user = settings.kafka_sasl_username or "USER"
    wanted = " ".join(f"--operation {operation.capitalize()}" for operation in operations)
    return f"kafka-acls.sh --add --allow-principal User:{user} {wanted} {resource}"


def _login(settings: KafkaSettings) -> str:
    user = settings.kafka_sasl_username
    return f"over {settings.kafka_security_protocol}{f' as {user}' if user else ''}"


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
