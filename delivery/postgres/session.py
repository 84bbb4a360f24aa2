"""What a session of ours relies on, set by itself: nobody's default decides.

A role, a database and a server have a default for every setting (`ALTER ROLE ... SET`), and some
of them would cost rows or change bytes. Everything that is relied on is here, but for two: a
connection asks for its `client_encoding`, and each BEGIN says its isolation. Two are left to the
deployment: `search_path` says where the tables are, and `default_transaction_read_only` is how a
database is fenced off before a switchover. What was written there in spite of it would be lost.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from delivery.postgres import citus

RELIED_ON = {
    # A commit is durable before its offsets are committed. Stronger values stay.
    "synchronous_commit": "on",
    # What is written is read back the same.
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    # Nothing is left out in silence: rows that a policy hides are an error, triggers fire, views
    # are readable, warnings arrive.
    "row_security": "off",
    "session_replication_role": "origin",
    "restrict_nonsystem_relation_kind": "",
    "client_min_messages": "warning",
    # Tables and partitions are plain ones where the database is: PostgreSQL refuses a partitioned
    # table to whom that place is named by default.
    "default_tablespace": "",
    "default_table_access_method": "heap",
    # An error ends the statement; the session goes on, and with it the search for a refused row.
    "exit_on_error": "off",
    # No timeout but those that the kind of session asks for. 0: none.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
}

# A batch reads by key. Left to itself the planner sometimes prefers to scan a whole table for 2000
# keys, with parallel workers, and plans anew over all partitions for each batch.
_LOOK_UP_BY_KEY = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_nestloop": "on",
    "enable_indexscan": "on",
    "enable_partition_pruning": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",
}

# For payloads above 2 KB, which PostgreSQL compresses: COPY takes half the CPU time that it takes
# with pglz, and the table as much disk. Where the server is built with it.
_COMPRESSION = {"default_toast_compression": "lz4"}

LOCK_TIMEOUT = timedelta(seconds=5)  # another worker's transaction takes a fraction of it


class Connection(psycopg.Connection[TupleRow]):
    """A connection that sets what its session relies on.

    Where it `is_pooled`, a pooler such as pgbouncer stands in between: the next transaction may
    have another session of the server, and a neighbour may have this one. What is relied on is then
    set for each transaction alone, and no statement is prepared under a name.
    """

    relied_on: Sequence[tuple[str, str]] = ()
    is_pooled = False
    is_citus = False
    committing_since: float | None = None  # monotonic; while a COMMIT has no answer

    def begin_session(self, settings: Mapping[str, str], read_only: bool) -> None:
        """Sets what is relied on, and `settings` for this kind of session, in one round trip.

        A pooler gives its clients process ids of its own, and so gives itself away: the same
        statement sets the values for itself alone where the server's process has another id.
        Nothing is left in a session that a neighbour may get. A `read_only` session sees one moment
        in each transaction. Raises SettingsError on a node of a Citus cluster.
        """
        # In this order: a transaction_timeout that runs is replaced only by none before another.
        self.relied_on = [*RELIED_ON.items(), *settings.items()]
        self.read_only = read_only or None  # None: as the database has it
        self.isolation_level = (
            IsolationLevel.REPEATABLE_READ if read_only else IsolationLevel.READ_COMMITTED
        )
        self.is_pooled = self.set_relied_on()
        if self.is_pooled:
            self.prepare_threshold = None
            # To ask what the server is built with takes 0.4 ms, in each transaction then.
            self.relied_on = [given for given in self.relied_on if given[0] not in _COMPRESSION]
        if self.is_citus:
            citus.require_coordinator(self)
            self.relied_on = [(name, citus.INSTEAD.get(name, v)) for name, v in self.relied_on]
            self.set_relied_on()

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """As psycopg's, in which what is relied on is set, and whose COMMIT can be watched.

        On Citus it raises UnavailableError for what `citus.require_machines` takes for one.
        """
        is_outermost = self.info.transaction_status == TransactionStatus.IDLE
        try:
            with super().transaction(savepoint_name, force_rollback) as transaction:
                if self.is_pooled and is_outermost:
                    self.set_relied_on()
                yield transaction
                if is_outermost:
                    self.committing_since = time.monotonic()
        except Exception as error:
            if self.is_citus and is_outermost:
                citus.require_machines(error, self.closed)
            raise
        finally:
            if is_outermost:
                self.committing_since = None

    def set_relied_on(self) -> bool:
        """Sets it again, where a pooler makes that necessary. True: for the transaction alone."""
        names, values = map(list, zip(*self.relied_on, strict=True))
        given = {"pid": self.info.backend_pid, "names": names, "values": values}
        ((is_local, self.is_citus, _),) = self.execute(_SET, given)
        return bool(is_local)


# A name that this version of PostgreSQL does not know is left out, and so is a value that is there
# already: not every role may set each of them. lz4 is left out where the server has none.
_SET = """
SELECT pg_backend_pid() <> %(pid)b,
       EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus'),
       (SELECT count(set_config(name, value, pg_backend_pid() <> %(pid)b))
        FROM unnest(%(names)b::text[], %(values)b::text[]) AS relied_on (name, value)
        WHERE current_setting(name, true) <> value
          AND (name <> 'synchronous_commit' OR current_setting(name) = 'off')
          AND (name <> 'default_toast_compression' OR EXISTS (
              SELECT FROM pg_catalog.pg_settings
              WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals))))
"""


def of_worker(max_transaction_age: timedelta) -> dict[str, str]:
    """A worker's: the server ends a transaction that outlives its worker's right to the partitions.

    The age is Kafka's session timeout: after it the partitions belong to a successor, who must not
    wait for the locks of a worker that is frozen or whose host is lost.
    """
    half = max_transaction_age / 2
    limits = {
        "idle_in_transaction_session_timeout": half,
        "lock_timeout": min(half, LOCK_TIMEOUT),
        "statement_timeout": max_transaction_age,
        "transaction_timeout": max_transaction_age,
    }
    timeouts = {name: _milliseconds(limit) for name, limit in limits.items()}
    return _LOOK_UP_BY_KEY | _COMPRESSION | timeouts


def of_role_on_nodes() -> dict[str, str]:
    """A worker's role has these by default on the nodes of a Citus cluster: what a session sets
    does not reach them. Its timeouts do, for the coordinator then ends the statement there, but for
    that of a lock. A node takes `plan_cache_mode` as it is: its statements come with their values.
    """
    look_up = {name: value for name, value in _LOOK_UP_BY_KEY.items() if name not in citus.INSTEAD}
    return look_up | {"lock_timeout": _milliseconds(LOCK_TIMEOUT)}


def of_announcer(silence: timedelta) -> dict[str, str]:
    """An announcer's, which the server ends after a `silence` between two statements too."""
    return of_worker(silence) | {"idle_session_timeout": _milliseconds(silence)}


def of_reader(statement_timeout: timedelta) -> dict[str, str]:
    """That of a reader that answers soon or not at all: compiling takes longer than its queries."""
    return {
        "statement_timeout": _milliseconds(statement_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(statement_timeout * 2),
        "jit": "off",
    }


def _milliseconds(time: timedelta) -> str:
    return str(round(time.total_seconds() * 1000))
