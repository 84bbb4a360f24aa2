"""What `delivery verify` says of its check beside the findings: what it compared, and what not."""

from delivery.broker import topic
from delivery.cli import output
from delivery.domain.month import listed
from delivery.verify import Progress


def line(progress: Progress) -> str:
    """How far the check is, while it runs."""
    return f"{progress.doing}: {progress.rows:,} rows compared"


def of_database(progress: Progress, count: int) -> None:
    """What was compared in the database; `count` is the number of findings."""
    if not count and not progress.rows and not progress.archive.events:
        output.note("nothing to verify yet: the log is empty, and there is no delivery")
        return
    compared = (
        f"events: {progress.events}, deliveries: {progress.deliveries}, "
        f"duplicates: {progress.duplicates}, dead letters: {progress.dead_letters}"
    )
    output.note(f"{compared}; findings: {count or 'none'}")


def of_archive(progress: Progress) -> None:
    """What can't be compared, for it left the log."""
    if events := progress.archive.events:
        output.note(
            f"months archived, and so not compared: {listed(events)} (events: "
            f"{sum(events.values())}); the offsets of their records are accounted for"
        )


def of_topic(
    source: topic.Topic, committed: dict[tuple[str, int], int], progress: Progress
) -> None:
    """What of the topic was looked up, and what could not be."""
    name, group = source.settings.kafka_topic, source.settings.kafka_group_id
    if not committed:
        output.note(f"topic {name} not checked: group {group} has committed no offset of it")
        return
    output.note(
        f"topic {name}: partitions of group {group}: {len(committed)}, offsets below the committed "
        f"ones that are in no log: {progress.offsets_in_no_log}, all looked up"
    )
    if progress.offsets_before_takeover:
        output.note(
            "offsets before the first in the logs, which the service before read, and so not "
            f"checked: {progress.offsets_before_takeover}"
        )
    if source.deleted:
        output.note(
            f"of these, lost to retention before this check and so not verifiable: {source.deleted}"
        )
