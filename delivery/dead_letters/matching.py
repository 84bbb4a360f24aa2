"""How letters are chosen and grouped, in SQL. The parameters are the fields of a `LetterFilter`."""

from delivery.postgres.named_order import NAMED_ORDER

# Errors that differ only in numbers (a position in the record, a duration) have one cause. What
# follows SQLSTATE is no number. No backslashes: they would depend on standard_conforming_strings.
CAUSE = "regexp_replace(error, '(?<!SQLSTATE [0-9A-Z]{0,4})[0-9]+', 'N', 'g')"

MATCHES = f"""
(%(reason)s::text IS NULL OR reason = %(reason)s)
AND CASE %(state)s::text WHEN 'any' THEN true WHEN 'open' THEN resolved_at IS NULL
    ELSE resolution = %(state)s END
AND (%(since)s::timestamptz IS NULL OR consumed_at >= %(since)s)
AND (%(until)s::timestamptz IS NULL OR consumed_at < %(until)s)
AND (%(order_id)s::bigint IS NULL OR order_id = %(order_id)s
     OR (order_id IS NULL AND {NAMED_ORDER} = (%(order_id)s::bigint)::text))
AND (%(topic)s::text IS NULL OR record_topic = %(topic)s)
AND (%(error)s::text IS NULL OR strpos(lower(error), lower(%(error)s)) > 0
     OR strpos(lower({CAUSE}), lower(%(error)s)) > 0)
AND (%(text)s::text IS NULL OR position(convert_to(%(text)s, 'UTF8') IN record_value) > 0
     OR position(convert_to(%(text)s, 'UTF8') IN record_key) > 0)
"""
