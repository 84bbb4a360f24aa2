"""Dead letters, put there by hand, and who resolves them."""

from delivery.inbox.dead_letters import Resolver

TESTER = Resolver("a tester", "a test")

# Letters of events that are good by now, one order each.
GOOD_LETTERS = """
INSERT INTO dead_letters (record_topic, record_partition, record_offset, record_time, record_value,
                          record_headers, reason, error)
SELECT 'orders', 0, n, '2026-11-01T12:00Z',
       convert_to(format('{"event": {"orderId": %%s}, "createdAt": [2026,11,1,1,0]}', n), 'UTF8'),
       '[]', 'refused_by_database', 'SQLSTATE 23514'
FROM generate_series(1, %s) AS n
"""
