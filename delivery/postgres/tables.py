"""The tables, as alembic's migrations build them; a test compares the two.

PostgreSQL settles every race here: the primary keys of `processed_events` and `deliveries` decide
what is a duplicate and who came second.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSON, UUID

from delivery.domain.vocabulary import (
    ACTIONS,
    CRITERIA,
    EVENT_OUTCOMES,
    REASONS,
    RESOLUTIONS,
    STATUSES,
)
from delivery.postgres.named_order import NAMED_ORDER

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}

metadata = MetaData(naming_convention=NAMING_CONVENTION)

Time = DateTime(timezone=True)


def is_declared(name: str | None, kind: str, _parents: object) -> bool:
    """For alembic's comparison: the monthly partitions are made by the database itself."""
    return kind != "table" or name in metadata.tables


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _coordinates() -> list[Column[object]]:
    """Where a record lies in Kafka, and its own timestamp (null where the producer set none)."""
    return [
        Column("record_topic", Text, nullable=False),
        Column("record_partition", Integer, nullable=False),
        Column("record_offset", BigInteger, nullable=False),
        Column("record_time", Time),
    ]


def _topic_id() -> Column[object]:
    """Which topic of that name: one that is deleted and made anew has the same coordinates again.
    All zeros where it is not known, as Kafka itself writes it.
    """
    unknown = text("'00000000-0000-0000-0000-000000000000'")
    return Column("record_topic_id", UUID, nullable=False, server_default=unknown)


def _erasure_id() -> Column[object]:
    """The row of `erasures` whose transaction put the mark in the place of personal data."""
    return Column("erasure_id", BigInteger)


# The inbox: one row for each event that was processed, for ever. Partitioned by month.
processed_events = Table(
    "processed_events",
    metadata,
    Column("order_id", BigInteger, nullable=False),
    Column("event_time", Time, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("payload", JSON, nullable=False),  # json, not jsonb: the bytes as sent
    *_coordinates(),
    Column("consumed_at", Time, nullable=False, server_default=func.now()),
    _topic_id(),
    _erasure_id(),
    Column("record_headers", JSON),  # null where it has none
    PrimaryKeyConstraint("order_id", "event_time"),
    CheckConstraint(_one_of("outcome", EVENT_OUTCOMES), name="outcome"),
    Index(None, "consumed_at"),
    Index(
        "ix_processed_events_rare",
        "outcome",
        "consumed_at",
        postgresql_where=text("outcome <> 'created'"),
    ),
    Index(
        None,
        "record_topic",
        "record_partition",
        "record_offset",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    ),
    postgresql_partition_by="RANGE (event_time)",
)

# One row for each order. Other services move `status`; the worker writes only while `pending`.
deliveries = Table(
    "deliveries",
    metadata,
    Column("order_id", BigInteger, nullable=False, autoincrement=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("product_id", BigInteger),
    Column("quantity", Integer),
    Column("ordered_by", BigInteger),
    Column("supply_company_id", BigInteger),
    Column("consume_company_id", BigInteger),
    Column("request_message", Text),
    Column("delivery_limited_at", Time),
    Column("event_time", Time, nullable=False),
    Column("created_at", Time, nullable=False, server_default=func.now()),
    Column("updated_at", Time, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("order_id"),
    CheckConstraint(_one_of("status", STATUSES), name="status"),
)

# One row for each record whose key the inbox held from another record.
duplicate_events = Table(
    "duplicate_events",
    metadata,
    *_coordinates(),
    Column("order_id", BigInteger, nullable=False),
    Column("event_time", Time, nullable=False),
    Column("payload_differs", Boolean, nullable=False),
    Column("payload", JSON),  # kept where it differs
    Column("consumed_at", Time, nullable=False, server_default=func.now()),
    _topic_id(),
    _erasure_id(),
    PrimaryKeyConstraint("record_topic", "record_partition", "record_offset", "record_topic_id"),
    CheckConstraint(
        "payload_differs = (payload IS NOT NULL)", name="payload_kept_where_it_differs"
    ),
    Index(None, "order_id"),
    Index(None, "consumed_at"),
    Index("ix_duplicate_events_conflicts", "consumed_at", postgresql_where=text("payload_differs")),
)

# One row for each record that could not be processed, with its bytes.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("dead_letter_id", BigInteger, Identity(always=True), nullable=False),
    *_coordinates(),
    Column("record_key", LargeBinary),
    Column("record_value", LargeBinary),
    Column("record_headers", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("order_id", BigInteger),
    Column("consumed_at", Time, nullable=False, server_default=func.now()),
    Column("resolved_at", Time),
    Column("resolution", Text),
    Column("resolution_note", Text),
    _topic_id(),
    _erasure_id(),
    Column("resolved_by", Text),
    PrimaryKeyConstraint("dead_letter_id"),
    UniqueConstraint(
        "record_topic",
        "record_partition",
        "record_offset",
        "record_topic_id",
        name="uq_dead_letters_coordinates",
    ),
    CheckConstraint(_one_of("reason", REASONS), name="reason"),
    CheckConstraint(_one_of("resolution", RESOLUTIONS), name="resolution"),
    CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolved"),
    Index(None, "order_id"),
    Index(None, "consumed_at"),
    Index(None, "reason", "dead_letter_id"),
    Index(
        "ix_dead_letters_named_order",
        text(f"({NAMED_ORDER})"),
        postgresql_where=text("order_id IS NULL"),
    ),
    Index("ix_dead_letters_unresolved", "reason", postgresql_where=text("resolved_at IS NULL")),
)

# One row for each transaction that erased personal data: who did it, why, and how many rows of each
# table. Whose data it was is not written down, nor a hash of it.
erasures = Table(
    "erasures",
    metadata,
    Column("erasure_id", BigInteger, Identity(always=True), nullable=False),
    Column("erased_at", Time, nullable=False, server_default=func.now()),
    Column("erased_by", Text, nullable=False),
    Column("criterion", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("processed_events", BigInteger, nullable=False, server_default="0"),
    Column("duplicate_events", BigInteger, nullable=False, server_default="0"),
    Column("deliveries", BigInteger, nullable=False, server_default="0"),
    Column("dead_letters", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("erasure_id"),
    CheckConstraint(_one_of("criterion", CRITERIA), name="criterion"),
    CheckConstraint("reason <> ''", name="reason"),
)

# One row for each thing that somebody did from the pages: who, why, to which letters (by the
# filters of their page), and how many of the chosen ones are through by `progressed_at`.
operator_actions = Table(
    "operator_actions",
    metadata,
    Column("action_id", BigInteger, Identity(always=True), nullable=False),
    Column("begun_at", Time, nullable=False, server_default=func.now()),
    Column("acted_by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("letters", Text, nullable=False),
    Column("chosen", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("progressed_at", Time, nullable=False, server_default=func.now()),
    Column("ended_at", Time),
    Column("error", Text),
    PrimaryKeyConstraint("action_id"),
    CheckConstraint(_one_of("action", ACTIONS), name="action"),
    CheckConstraint("reason <> ''", name="reason"),
    Index(  # one at a time
        "uq_operator_actions_running",
        text("(ended_at IS NULL)"),
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# One row for each created delivery that is still to be announced, while the outbox is switched on.
# Rows come and go, and so dead ones are cleared away soon.
outbox = Table(
    "outbox",
    metadata,
    Column("consumed_at", Time, nullable=False),
    Column("order_id", BigInteger, nullable=False),
    Column("event_time", Time, nullable=False),
    PrimaryKeyConstraint("consumed_at", "order_id", "event_time"),
    postgresql_with={
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 10_000,
    },
)

# One row for each event that was announced: when, and where it lies in the topic of announcements.
announcements = Table(
    "announcements",
    metadata,
    Column("order_id", BigInteger, nullable=False),
    Column("event_time", Time, nullable=False),
    Column("announced_at", Time, nullable=False, server_default=func.now()),
    Column("announced_topic", Text, nullable=False),
    Column("announced_partition", Integer, nullable=False),
    Column("announced_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id", "event_time"),
)

# Below these offsets of the topic of announcements every announcement of ours has its row.
announced_positions = Table(
    "announced_positions",
    metadata,
    Column("announced_topic", Text, nullable=False),
    Column("announced_partition", Integer, nullable=False),
    Column("announced_topic_id", UUID, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("announced_topic", "announced_partition"),
)

# Which versions of the code run on a schema: see `database.require_migrated`.
schema_revisions = Table(
    "schema_revisions",
    metadata,
    Column("revision", Text, primary_key=True),
    Column("oldest_code", Text, nullable=False),
)

# When workers filled the outbox; `switched_off_at` is null while they do.
outbox_periods = Table(
    "outbox_periods",
    metadata,
    Column("switched_on_at", Time, nullable=False),
    Column("switched_off_at", Time),
    PrimaryKeyConstraint("switched_on_at"),
    CheckConstraint("switched_off_at >= switched_on_at", name="on_before_off"),
)

# One row for each file that rows of a month went to; the later parts are of events that came after.
archived_months = Table(
    "archived_months",
    metadata,
    Column("month", Date, nullable=False),  # its first day
    Column("part", Integer, nullable=False, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
    Column("first_consumed_at", Time, nullable=False),
    Column("last_consumed_at", Time, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("archived_by", Text, nullable=False, server_default=text("SESSION_USER")),
    Column("archived_at", Time, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("month", "part"),
)

# The offsets of archived records: as exact as the rows were, for about a bit each. In blocks of
# 65,536, so that a look at one offset reads no more than that.
archived_offsets = Table(
    "archived_offsets",
    metadata,
    Column("record_topic", Text, nullable=False),
    Column("record_partition", Integer, nullable=False),
    Column("record_topic_id", UUID, nullable=False),
    Column("block", BigInteger, nullable=False),  # record_offset >> 16
    Column("month", Date, nullable=False),
    Column("part", Integer, nullable=False),
    Column("offsets", INT8MULTIRANGE, nullable=False),
    PrimaryKeyConstraint(
        "record_topic", "record_partition", "block", "record_topic_id", "month", "part"
    ),
    ForeignKeyConstraint(
        ["month", "part"],
        ["archived_months.month", "archived_months.part"],
        name="fk_archived_offsets_archived_months",
        ondelete="CASCADE",
    ),
)
