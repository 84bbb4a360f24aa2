"""The inbox, the deliveries, the duplicates, the dead letters, and their history.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BRIN = {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}


def coordinates() -> list[sa.Column]:
    return [
        sa.Column("record_topic", sa.Text, nullable=False),
        sa.Column("record_partition", sa.Integer, nullable=False),
        sa.Column("record_offset", sa.BigInteger, nullable=False),
        sa.Column("record_time", TIME),
    ]


def consumed_at() -> sa.Column:
    return sa.Column("consumed_at", TIME, nullable=False, server_default=sa.func.now())


def upgrade() -> None:
    create_processed_events()
    create_deliveries()
    create_duplicate_events()
    create_dead_letters()
    op.execute(REFUSE_CHANGE)
    op.execute(KEEP_LOG)
    op.execute(ENSURE_PARTITIONS)
    op.execute(DEFAULT_PARTITION)
    op.execute("SELECT ensure_partitions()")
    op.execute(EVENT_HISTORY)


def downgrade() -> None:
    op.execute("DROP VIEW event_history")
    op.drop_table("dead_letters")
    op.drop_table("duplicate_events")
    op.drop_table("deliveries")
    op.drop_table("processed_events")  # and its partitions
    op.execute("DROP FUNCTION ensure_partitions(integer, integer)")
    op.execute("DROP FUNCTION keep_log(regclass)")
    op.execute("DROP FUNCTION refuse_change()")


def create_processed_events() -> None:
    op.create_table(
        "processed_events",
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("event_time", TIME, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("payload", JSON, nullable=False),
        *coordinates(),
        consumed_at(),
        sa.PrimaryKeyConstraint("order_id", "event_time"),
        sa.CheckConstraint(
            "outcome IN ('created', 'updated', 'too_late', 'stale')", name="outcome"
        ),
        postgresql_partition_by="RANGE (event_time)",
    )
    op.create_index(None, "processed_events", ["consumed_at"], **BRIN)
    op.create_index(
        None, "processed_events", ["record_topic", "record_partition", "record_offset"], **BRIN
    )


def create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("order_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("status", sa.Text, nullable=False, server_default="pending"),
        sa.Column("product_id", sa.BigInteger),
        sa.Column("quantity", sa.Integer),
        sa.Column("ordered_by", sa.BigInteger),
        sa.Column("supply_company_id", sa.BigInteger),
        sa.Column("consume_company_id", sa.BigInteger),
        sa.Column("request_message", sa.Text),
        sa.Column("delivery_limited_at", TIME),
        sa.Column("event_time", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("order_id"),
        sa.CheckConstraint(
            "status IN ('pending', 'dispatched', 'delivered', 'cancelled')", name="status"
        ),
    )


def create_duplicate_events() -> None:
    op.create_table(
        "duplicate_events",
        *coordinates(),
        sa.Column("order_id", sa.BigInteger, nullable=False),
        sa.Column("event_time", TIME, nullable=False),
        sa.Column("payload_differs", sa.Boolean, nullable=False),
        sa.Column("payload", JSON),
        consumed_at(),
        sa.PrimaryKeyConstraint("record_topic", "record_partition", "record_offset"),
        sa.CheckConstraint(
            "payload_differs = (payload IS NOT NULL)", name="payload_kept_where_it_differs"
        ),
    )
    op.create_index(None, "duplicate_events", ["order_id"])
    op.create_index(None, "duplicate_events", ["consumed_at"], **BRIN)


def create_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        *coordinates(),
        sa.Column("record_key", sa.LargeBinary),
        sa.Column("record_value", sa.LargeBinary),
        sa.Column("record_headers", JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("order_id", sa.BigInteger),
        consumed_at(),
        sa.Column("resolved_at", TIME),
        sa.Column("resolution", sa.Text),
        sa.Column("resolution_note", sa.Text),
        sa.PrimaryKeyConstraint("dead_letter_id"),
        sa.UniqueConstraint("record_topic", "record_partition", "record_offset"),
        sa.CheckConstraint(
            "reason IN ('tombstone', 'not_json', 'missing_field', 'invalid_field', 'invalid_time', "
            "'future_event_time', 'refused_by_database')",
            name="reason",
        ),
        sa.CheckConstraint("resolution IN ('replayed', 'discarded')", name="resolution"),
        sa.CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolved"),
    )
    op.create_index(None, "dead_letters", ["order_id"])
    op.create_index(None, "dead_letters", ["consumed_at"], **BRIN)
    op.create_index(
        "ix_dead_letters_unresolved",
        "dead_letters",
        ["reason"],
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


# The log is append-only. The owner could still drop the trigger; the worker's role can't.
REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'the log is the proof of what was consumed; add to it, never change it';
END $$
"""

# A statement's trigger fires only on the table that the statement names, so that each partition
# needs one of its own beside the parent's.
KEEP_LOG = """
CREATE FUNCTION keep_log(log regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', log);
END $$
"""

# Called here, and by every worker at start and some times a day. SECURITY DEFINER: the worker's
# role owns no table. A long query makes it give up after a second, until the next time: whoever
# waits for this lock makes all others wait. A month whose events lie in the default partition stays
# there.
ENSURE_PARTITIONS = """
CREATE FUNCTION ensure_partitions(months_back integer DEFAULT 12, months_ahead integer DEFAULT 12)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET lock_timeout = '1s' AS $$
DECLARE
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    first timestamp;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('delivery.ensure_partitions'));
    FOR month IN -months_back .. months_ahead LOOP
        first := this_month + make_interval(months => month);
        name := 'processed_events_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        BEGIN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF processed_events FOR VALUES FROM (%L) TO (%L)',
                name, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC');
            PERFORM keep_log(name::regclass);
            made := made + 1;
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'events of % lie in processed_events_default and stay there', name;
        END;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION ensure_partitions(integer, integer) FROM PUBLIC
"""

DEFAULT_PARTITION = """
CREATE TABLE processed_events_default PARTITION OF processed_events DEFAULT;
SELECT keep_log('processed_events');
SELECT keep_log('processed_events_default');
"""

# One row for each record, in one shape. A dead letter that was replayed shows as what it became.
EVENT_HISTORY = """
CREATE VIEW event_history AS
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL::text AS reason, NULL::text AS error,
       NULL::bigint AS dead_letter_id, NULL::text AS resolution
FROM processed_events
UNION ALL
SELECT order_id, event_time, CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END,
       record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL, NULL, NULL, NULL
FROM duplicate_events
UNION ALL
SELECT order_id, NULL, 'rejected', record_topic, record_partition, record_offset, record_time,
       consumed_at, NULL, reason, error, dead_letter_id, resolution
FROM dead_letters
WHERE resolution IS DISTINCT FROM 'replayed'
"""
