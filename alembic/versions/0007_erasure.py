"""Personal data can be taken out of the log, in one way only, and it is written down by whom.

Revision ID: 0007
Revises: 0006

A table `erasures`, a column `erasure_id` in the three logs (null: nobody erased the row), and the
function `erase_personal_data`, which runs as the tables' owner and which nobody else may call until
`delivery migrate --erasure-role` says who. The log stays append-only for all, its owner included:
an update gets through where the same transaction wrote a row of `erasures`, and where it changes
nothing but the payload to the mark and `erasure_id` to that row's.

PostgreSQL keeps a column's most common values beside it, where no erasure reaches them before the
next ANALYZE, and then only as bytes of dead rows. It keeps none any more of the columns that are
personal: no query of ours is planned by them.

What it locks: the logs and the deliveries, also for reading, for a moment. The new columns are
null, so that no row is rewritten or read. It gives up after 5 s where a long query stands in its
way, and changes nothing then. Workers of the version before run on. Erase nothing while one of them
does: it takes an erased event that is delivered again for a conflict, and keeps its payload.
"""

import sqlalchemy as sa
from alembic import op

from delivery.errors import SettingsError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest_code = "0006"

LOGS = ("processed_events", "duplicate_events", "dead_letters")
TIME = sa.DateTime(timezone=True)

# The strongest lock at once. One that grows later would deadlock with a worker that has read the
# table and waits to write to it.
LOCK = f"LOCK TABLE {', '.join(LOGS)}, deliveries IN ACCESS EXCLUSIVE MODE"

# The same type again rewrites nothing, and drops the statistics that there are.
PERSONAL = {
    "deliveries": {
        "ordered_by": "bigint",
        "supply_company_id": "bigint",
        "consume_company_id": "bigint",
        "request_message": "text",
    },
    "dead_letters": {"record_key": "bytea", "record_value": "bytea", "resolution_note": "text"},
}

VIEW = """
CREATE OR REPLACE VIEW event_history AS
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL::text AS reason, NULL::text AS error,
       NULL::bigint AS dead_letter_id, NULL::text AS resolution, record_topic_id{erasure_id}
FROM processed_events
UNION ALL
SELECT order_id, event_time, CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END,
       record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL, NULL, NULL, NULL, record_topic_id{erasure_id}
FROM duplicate_events
UNION ALL
SELECT order_id, NULL, 'rejected', record_topic, record_partition, record_offset, record_time,
       consumed_at, NULL, reason, error, dead_letter_id, resolution, record_topic_id{erasure_id}
FROM dead_letters
WHERE resolution IS DISTINCT FROM 'replayed'
"""

# What stays of a payload is the key of its row, in the form of an event: whoever reads a payload by
# its fields finds them.
MARK = """
CREATE FUNCTION {schema}.erased_payload(order_id bigint, event_time timestamptz) RETURNS json
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
    SELECT json_build_object('erased', true, 'event', json_build_object('orderId', order_id),
                             'createdAt', event_time)
$$;
"""

REFUSE = """
CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    {unless}
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'the log is the proof of what was consumed; add to it, never change it';
END $$;
"""

# Of a statement it is known only that this transaction erases. What it does to each row the trigger
# `erase_only` looks at; a table without it refuses the statement.
UNLESS_ERASING = """
    IF TG_OP = 'UPDATE'
       AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = TG_RELID AND tgname = 'erase_only')
       AND EXISTS (SELECT FROM {schema}.erasures WHERE erased_at = transaction_timestamp()) THEN
        RETURN NULL;
    END IF;
"""

# No flag and no role is asked, which somebody might set or have, but the change itself and the row
# of `erasures` that goes with it.
ERASE_ONLY = """
CREATE FUNCTION {schema}.erase_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased record := OLD;
BEGIN
    erased.payload := {schema}.erased_payload(OLD.order_id, OLD.event_time);
    erased.erasure_id := NEW.erasure_id;
    IF OLD.erasure_id IS NULL AND NEW::text = erased::text
       AND EXISTS (SELECT FROM {schema}.erasures
                   WHERE erasure_id = NEW.erasure_id AND erased_at = transaction_timestamp()) THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT FROM {schema}.erasures WHERE erased_at = transaction_timestamp()) THEN
        RETURN NEW;  -- no erasure: `refuse_change` had to say whether the statement may run
    END IF;
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'personal data is erased by `delivery erase`, and nothing else is changed';
END $$;
CREATE TRIGGER erase_only BEFORE UPDATE ON {schema}.processed_events
FOR EACH ROW EXECUTE FUNCTION {schema}.erase_only();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {schema}.erasures
FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {schema}.erasures
FOR EACH ROW WHEN (OLD.erased_at <> transaction_timestamp())
EXECUTE FUNCTION {schema}.refuse_change();
"""

# The events first, then the deliveries, locked before they are compared with the log: a worker that
# changes one in between has then written an event that is not erased, and its delivery stays. A
# delivery whose event the log no longer has is erased too.
#
# An open letter is discarded: its record can't be processed again without its bytes, and would
# bring the data back when the topic is read again. One that was replayed has the coordinates of the
# event that it became.
ERASE = """
CREATE FUNCTION {schema}.erase_personal_data(
    of_orders bigint[], of_letters bigint[], by_criterion text, for_reason text)
RETURNS {schema}.erasures LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this {schema}.erasures;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('delivery.erase'));
    INSERT INTO {schema}.erasures (erased_by, criterion, reason)
    VALUES (session_user, by_criterion, for_reason) RETURNING * INTO this;

    UPDATE {schema}.processed_events
    SET payload = {schema}.erased_payload(order_id, event_time), erasure_id = this.erasure_id
    WHERE order_id = ANY(of_orders) AND erasure_id IS NULL;
    GET DIAGNOSTICS this.processed_events = ROW_COUNT;

    UPDATE {schema}.duplicate_events
    SET payload = {schema}.erased_payload(order_id, event_time), erasure_id = this.erasure_id
    WHERE order_id = ANY(of_orders) AND erasure_id IS NULL AND payload IS NOT NULL;
    GET DIAGNOSTICS this.duplicate_events = ROW_COUNT;

    PERFORM FROM {schema}.deliveries WHERE order_id = ANY(of_orders) ORDER BY order_id FOR UPDATE;
    UPDATE {schema}.deliveries AS d
    SET ordered_by = NULL, supply_company_id = NULL, consume_company_id = NULL,
        request_message = NULL
    WHERE d.order_id = ANY(of_orders)
      AND num_nonnulls(ordered_by, supply_company_id, consume_company_id, request_message) > 0
      AND NOT EXISTS (SELECT FROM {schema}.processed_events AS p
                      WHERE p.order_id = d.order_id AND p.event_time = d.event_time
                        AND p.erasure_id IS NULL);
    GET DIAGNOSTICS this.deliveries = ROW_COUNT;

    UPDATE {schema}.dead_letters AS l
    SET record_key = NULL, record_value = NULL, record_headers = '[]', error = 'erased',
        resolved_at = coalesce(resolved_at, now()), resolution = coalesce(resolution, 'discarded'),
        resolution_note = CASE WHEN resolution = 'replayed' THEN NULL ELSE 'erased' END,
        erasure_id = this.erasure_id
    WHERE l.erasure_id IS NULL
      AND (l.order_id = ANY(of_orders) OR l.dead_letter_id = ANY(of_letters)
           OR l.resolution = 'replayed'
              AND (record_topic, record_partition, record_offset, record_topic_id) IN (
                  SELECT record_topic, record_partition, record_offset, record_topic_id
                  FROM {schema}.processed_events WHERE order_id = ANY(of_orders)
                  UNION ALL
                  SELECT record_topic, record_partition, record_offset, record_topic_id
                  FROM {schema}.duplicate_events WHERE order_id = ANY(of_orders)));
    GET DIAGNOSTICS this.dead_letters = ROW_COUNT;

    IF this.processed_events + this.duplicate_events + this.deliveries + this.dead_letters = 0 THEN
        DELETE FROM {schema}.erasures WHERE erasure_id = this.erasure_id;
        RETURN NULL;
    END IF;
    UPDATE {schema}.erasures
    SET processed_events = this.processed_events, duplicate_events = this.duplicate_events,
        deliveries = this.deliveries, dead_letters = this.dead_letters
    WHERE erasure_id = this.erasure_id;
    RETURN this;
END $$;
REVOKE EXECUTE ON FUNCTION
    {schema}.erase_personal_data(bigint[], bigint[], text, text) FROM PUBLIC;
"""

# An error is a column of the view `event_history`, so that its type can't be set again. It holds no
# value of a record, but where somebody's trigger repeats one.
FORGET = """
CREATE FUNCTION {schema}.forget_statistics() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    ANALYZE {schema}.dead_letters (error);
END $$;
REVOKE EXECUTE ON FUNCTION {schema}.forget_statistics() FROM PUBLIC;
"""

# The schema is known where the statement runs, and not where `alembic upgrade --sql` prints it.
IN_THE_TABLES_SCHEMA = """
DO $migration$
BEGIN
    EXECUTE replace($functions$%s$functions$, '{schema}', quote_ident(current_schema()));
END $migration$
"""


def upgrade() -> None:
    op.execute(LOCK)
    create_erasures()
    for log in LOGS:
        op.add_column(log, sa.Column("erasure_id", sa.BigInteger))
    for table, columns in PERSONAL.items():
        for column, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ALTER {column} TYPE {kind}")
            op.execute(f"ALTER TABLE {table} ALTER {column} SET STATISTICS 0")
    refuse = REFUSE.replace("{unless}", UNLESS_ERASING)
    op.execute(IN_THE_TABLES_SCHEMA % "".join([MARK, refuse, ERASE_ONLY, ERASE, FORGET]))
    op.execute(VIEW.format(erasure_id=", erasure_id"))


def downgrade() -> None:
    """Refused once something was erased. The rights to the view have to be given again."""
    refuse_where_rows_are_erased()
    op.execute(LOCK)
    op.execute("DROP VIEW event_history")
    op.execute("DROP FUNCTION forget_statistics()")
    op.execute("DROP FUNCTION erase_personal_data(bigint[], bigint[], text, text)")
    op.execute("DROP FUNCTION erase_only() CASCADE")
    op.execute("DROP FUNCTION erased_payload(bigint, timestamptz)")
    op.execute(IN_THE_TABLES_SCHEMA % REFUSE.replace("{unless}", ""))
    for table, columns in PERSONAL.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER {column} SET STATISTICS -1")
    for log in LOGS:
        op.drop_column(log, "erasure_id")
    op.drop_table("erasures")
    op.execute(VIEW.format(erasure_id=""))


def create_erasures() -> None:
    counts = ("processed_events", "duplicate_events", "deliveries", "dead_letters")
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("erased_at", TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("erased_by", sa.Text, nullable=False),
        sa.Column("criterion", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in counts),
        sa.PrimaryKeyConstraint("erasure_id"),
        sa.CheckConstraint("criterion IN ('ordered_by', 'order', 'dead_letter')", name="criterion"),
        sa.CheckConstraint("reason <> ''", name="reason"),
    )


def refuse_where_rows_are_erased() -> None:
    if op.get_bind().execute(sa.text("SELECT EXISTS (SELECT FROM erasures)")).scalar_one():
        raise SettingsError(
            "rows of the log are erased: the version before takes an erased event that is "
            "delivered again for a conflict, and keeps its payload. There is no way down"
        )
