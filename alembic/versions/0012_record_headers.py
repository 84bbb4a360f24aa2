"""The log keeps the headers of records that carry some.

Revision ID: 0012
Revises: 0011

A column `record_headers` in `processed_events`, in the form that those of dead letters have, and
null where a record has none, as in all rows of before. The view `event_history` has it as its last
column. Headers may say something of a person: an erasure makes them null, and the trigger that lets
an erasure through lets it change them to nothing else.

What it locks: `processed_events`, also for reading, for a moment. The new column is null, so that
no row is rewritten or read. It gives up after 5 s where a long query stands in its way, and changes
nothing then. Workers of the version before run on beside it, and keep no headers. `delivery erase`
of the version before erases them, too: what it calls is replaced here.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
oldest_code = "0008"

# The strongest lock at once. One that grows later would deadlock with a worker that has read the
# table and waits to write to it.
LOCK = "LOCK TABLE processed_events IN ACCESS EXCLUSIVE MODE"

VIEW = """
CREATE OR REPLACE VIEW event_history AS
SELECT order_id, event_time, outcome, record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL::text AS reason, NULL::text AS error,
       NULL::bigint AS dead_letter_id, NULL::text AS resolution, record_topic_id, erasure_id{}
FROM processed_events
UNION ALL
SELECT order_id, event_time, CASE WHEN payload_differs THEN 'conflict' ELSE 'duplicate' END,
       record_topic, record_partition, record_offset, record_time,
       consumed_at, payload, NULL, NULL, NULL, NULL, record_topic_id, erasure_id{}
FROM duplicate_events
UNION ALL
SELECT order_id, NULL, 'rejected', record_topic, record_partition, record_offset, record_time,
       consumed_at, NULL, reason, error, dead_letter_id, resolution, record_topic_id, erasure_id{}
FROM dead_letters
WHERE resolution IS DISTINCT FROM 'replayed'
"""
HEADERS = (
    ", record_headers",
    ", NULL",
    ", CASE WHEN record_headers::text <> '[]' THEN record_headers END",
)

# As in 0007, but for the headers.
ERASE_ONLY = """
CREATE OR REPLACE FUNCTION {schema}.erase_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased record := OLD;
BEGIN
    erased.payload := {schema}.erased_payload(OLD.order_id, OLD.event_time);
    {headers_are_gone}
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
"""

ERASE = """
CREATE OR REPLACE FUNCTION {schema}.erase_personal_data(
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
    SET payload = {schema}.erased_payload(order_id, event_time), {no_headers}
        erasure_id = this.erasure_id
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
    op.add_column("processed_events", sa.Column("record_headers", JSON))
    replace_functions("erased.record_headers := NULL;", "record_headers = NULL,")
    op.execute(VIEW.format(*HEADERS))


def downgrade() -> None:
    """The headers that were kept are lost. The rights to the view have to be given again."""
    op.execute(LOCK)
    op.execute("DROP VIEW event_history")
    replace_functions("", "")
    op.drop_column("processed_events", "record_headers")
    op.execute(VIEW.format("", "", ""))


def replace_functions(headers_are_gone: str, no_headers: str) -> None:
    functions = (ERASE_ONLY + ERASE).replace("{headers_are_gone}", headers_are_gone)
    op.execute(IN_THE_TABLES_SCHEMA % functions.replace("{no_headers}", no_headers))
