"""What nobody may do to the log, its owner neither: each a transaction that is refused.

Order 1 is not erased, and order 2 is.
"""

from records import at

MARK = "erased_payload(order_id, event_time)"
NOTE = "INSERT INTO erasures (erased_by, criterion, reason) VALUES ('x', 'order', 'x')"
NOTED = "(SELECT max(erasure_id) FROM erasures)"

FORBIDDEN = {
    "a payload": ["UPDATE processed_events SET payload = '{}'"],
    "a partition's": [f"UPDATE processed_events_{at(0):%Y_%m} SET payload = '{{}}'"],
    "the mark": [f"UPDATE processed_events SET payload = {MARK}"],
    "with a number": [f"UPDATE processed_events SET payload = {MARK}, erasure_id = 1"],
    "with flags": [
        "SET LOCAL delivery.erase = 'on'",
        "SET LOCAL delivery.erasing = 'on'",
        f"UPDATE processed_events SET payload = {MARK}, erasure_id = {NOTED}",
    ],
    "of an erasure before": [
        f"UPDATE processed_events SET payload = {MARK}, erasure_id = {NOTED}",
    ],
    "without the mark": [NOTE, f"UPDATE processed_events SET erasure_id = {NOTED}"],
    "another mark": [NOTE, f"UPDATE processed_events SET payload = '{{\"erased\": true}}', "
                           f"erasure_id = {NOTED}"],
    "an outcome with it": [NOTE, f"UPDATE processed_events SET payload = {MARK}, "
                                 f"erasure_id = {NOTED}, outcome = 'stale'"],
    "a time with it": [NOTE, f"UPDATE processed_events SET payload = {MARK}, "
                             f"erasure_id = {NOTED}, consumed_at = now()"],
    "headers with it": [NOTE, f"UPDATE processed_events SET payload = {MARK}, "
                              f"erasure_id = {NOTED}, record_headers = '[]'"],
    "without a number": [NOTE, f"UPDATE processed_events SET payload = {MARK}"],
    "of nothing": [NOTE, f"UPDATE processed_events SET payload = {MARK}, erasure_id = 0"],
    "a row erased before": [NOTE, f"UPDATE processed_events SET payload = {MARK}, "
                                  f"erasure_id = {NOTED} WHERE order_id = 2"],
    "a row": [NOTE, "DELETE FROM processed_events"],
    "the log": [NOTE, "TRUNCATE processed_events"],
    "announcements": [NOTE, "UPDATE announcements SET announced_offset = 1"],
    "what was noted": ["UPDATE erasures SET reason = 'none'"],
    "that it was noted": ["DELETE FROM erasures"],
    "all that was noted": ["TRUNCATE erasures"],
}  # fmt: skip
