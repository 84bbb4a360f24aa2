"""A log that has grown: millions of rows by SQL, as a year of one producer would leave them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks import commits
from benchmarks.environment import Connection

CHUNK = 500_000  # rows in a transaction

# Row i of `total` lies i/total of a year after a year ago; a batch of 2000 arrived together.
_TIMES = """
    SELECT i, {id} AS order_id,
           this_hour - interval '365 days' * (1 - i::float8 / {total}) AS event_time,
           this_hour - interval '365 days' * (1 - (i - i % 2000)::float8 / {total}) AS consumed_at
    FROM date_trunc('hour', now()) AS this_hour, generate_series({first}, {last}) AS i
"""

IDS = {
    "sequential": "i::bigint",
    # 62 bits that look random, and that are the same for the same i.
    "random": "(hashint8extended(i, 7) & 4611686018427387903) + 1",
}

_LOG = """
INSERT INTO processed_events (order_id, event_time, outcome, payload, record_topic,
                              record_partition, record_offset, record_time, consumed_at)
SELECT order_id, event_time, 'created', concat(
    '{{"event":{{"orderId":', order_id, ',"productId":', i % 9999 + 1, ',"quantity":', i % 99 + 1,
    ',"orderedBy":', i % 99999, ',"consumeCompanyId":', i % 999, ',"supplyCompanyId":', i % 998,
    ',"requestMessage":"문 앞에 놓아 주세요","deliveryLimitedAt":[2026,1,4,0,1,14,254000000]}},',
    '"eventId":"', md5(i::text), '","createdAt":', to_char(event_time,
        '"["YYYY,FMMM,FMDD,FMHH24,FMMI,FMSS,'),
    extract(microsecond FROM event_time)::bigint % 1000000 * 1000,
    '],"eventType":"com.example.order.OrderCreateEvent",',
    '"source":"orderService.createOrder"}}')::json,
    'filled', 0, i, event_time, consumed_at
FROM ({times}) AS t
"""

# In the order of the ids, as a worker writes its batches.
_DELIVERIES = """
INSERT INTO deliveries (order_id, product_id, quantity, ordered_by, supply_company_id,
                        consume_company_id, request_message, delivery_limited_at, event_time,
                        created_at, updated_at)
SELECT order_id, i % 9999 + 1, i % 99 + 1, i % 99999, i % 998, i % 999, '문 앞에 놓아 주세요',
       '2026-01-04 00:01:14.254Z', event_time, consumed_at, consumed_at
FROM ({times}) AS t ORDER BY order_id
"""


def fill(url: str, ids: str, first: int, last: int, total: int) -> None:
    """Adds the rows `first` to `last` of `total`, log and deliveries side by side.

    Afterwards they are vacuumed and analyzed, as autovacuum would have done, and on disk.
    """
    _fill(url, ids, first, last, total)
    with commits.connected(url) as connection:
        connection.execute("CHECKPOINT")


def _fill(url: str, ids: str, first: int, last: int, total: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(_insert, url, q, ids, first, last, total) for q in _STATEMENTS]:
            done.result()
        for done in [
            pool.submit(_tidy, url, table) for table in ("processed_events", "deliveries")
        ]:
            done.result()


_STATEMENTS = (_LOG, _DELIVERIES)


def _insert(url: str, statement: str, ids: str, first: int, last: int, total: int) -> None:
    with commits.connected(url) as connection:
        connection.execute("SET synchronous_commit = off")
        for start in range(first, last + 1, CHUNK):
            times = _TIMES.format(
                id=IDS[ids], total=total, first=start, last=min(last, start + CHUNK - 1)
            )
            connection.execute(statement.format(times=times).encode())


def _tidy(url: str, table: str) -> None:
    with commits.connected(url) as connection:
        connection.execute(f"VACUUM (ANALYZE) {table}".encode())


def ids_of(connection: Connection, ids: str, numbers: Sequence[int]) -> list[int]:
    """The order ids of these rows."""
    query = f"SELECT {IDS[ids]} FROM unnest(%s::bigint[]) AS i"  # noqa: S608  an expression above
    return [order_id for (order_id,) in connection.execute(query.encode(), (list(numbers),))]
