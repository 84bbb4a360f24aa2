"""What decode accepts, and what it rejects, PostgreSQL stores: nothing is left for it to refuse."""

import itertools
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import broken_events, events

from delivery.domain.event import Contract
from delivery.domain.record import Record
from delivery.inbox.transaction import process
from delivery.postgres.database import Connection

ANYTHING = st.none() | st.binary() | broken_events() | events().map(lambda sent: sent.value)
TIME = datetime(9999, 12, 31, tzinfo=UTC)  # no event is ahead of it

_offset = itertools.count()


@given(st.lists(ANYTHING, min_size=1, max_size=30))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_comes_is_stored_and_the_database_refuses_nothing(
    connection: Connection, values: list[bytes | None]
) -> None:
    records = [Record("t", 0, next(_offset), TIME, v, v, [("header", v)]) for v in values]
    assert process(connection, Contract(), records).total() == len(records)
    refused = "SELECT error FROM dead_letters WHERE reason = 'refused_by_database'"
    assert connection.execute(refused).fetchall() == []
