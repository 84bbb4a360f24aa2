"""What runs with the owner's rights runs the owner's code alone.

Revision ID: 0005
Revises: 0004

`ensure_partitions` runs as the tables' owner, whoever calls it. It looked functions up in the
schema of the tables. Where a worker's role may create functions there, as everybody may in schema
`public` of a database that came from PostgreSQL 14 or older, it could have the owner run code of
its own. It now looks in `pg_catalog` only, names the tables with their schema, relies on no setting
of its caller, and makes the partitions of 24 months in either direction at most. The two functions
that it needs are bound in the same way.

The functions name their schema. Who renames it goes back to 0004 and to 0005 again.

What it locks: nothing that a worker or a reader waits for, and it reads no row. Workers of the
version before run on. Give the roles their rights again (`delivery migrate --worker-role`): a
worker's role may not set a delivery's status any more when it inserts it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

FUNCTIONS = """
CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'the log is the proof of what was consumed; add to it, never change it';
END $$;

CREATE OR REPLACE FUNCTION {schema}.keep_log(log regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION %I.refuse_change()', log, {name});
END $$;
REVOKE EXECUTE ON FUNCTION {schema}.keep_log(regclass) FROM PUBLIC;

CREATE OR REPLACE FUNCTION {schema}.ensure_partitions(
    months_back integer DEFAULT 12, months_ahead integer DEFAULT 12)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
SET TimeZone = 'UTC'
SET DateStyle = 'ISO'
SET default_tablespace = ''
SET default_table_access_method = 'heap' AS $$
DECLARE
    this_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    first timestamp;
    name text;
    made integer := 0;
BEGIN
    IF (months_back BETWEEN 0 AND 24 AND months_ahead BETWEEN 0 AND 24) IS NOT TRUE THEN
        RAISE EXCEPTION 'months_back and months_ahead are from 0 to 24'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('delivery.ensure_partitions'));
    FOR month IN -months_back .. months_ahead LOOP
        first := this_month + make_interval(months => month);
        name := 'processed_events_' || to_char(first, 'YYYY_MM');
        CONTINUE WHEN to_regclass(format('%I.%I', {name}, name)) IS NOT NULL;
        BEGIN
            EXECUTE format(
                'CREATE TABLE %I.%I PARTITION OF %I.processed_events FOR VALUES FROM (%L) TO (%L)',
                {name}, name, {name},
                first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC');
            PERFORM {schema}.keep_log(format('%I.%I', {name}, name)::regclass);
            made := made + 1;
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'events of % lie in processed_events_default and stay there', name;
        END;
    END LOOP;
    RETURN made;
END $$;
"""

# The schema is known where the statement runs, and not where `alembic upgrade --sql` prints it.
IN_THE_TABLES_SCHEMA = f"""
DO $migration$
DECLARE
    schema text := current_schema();
    functions text := $functions${FUNCTIONS}$functions$;
BEGIN
    functions := replace(functions, '{{schema}}', quote_ident(schema));
    EXECUTE replace(functions, '{{name}}', quote_literal(schema));
END $migration$
"""


def upgrade() -> None:
    op.execute(IN_THE_TABLES_SCHEMA)


def downgrade() -> None:
    """The functions stay: the version before calls them as they are, and needs no hole."""
