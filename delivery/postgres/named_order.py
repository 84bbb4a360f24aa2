"""Which order a dead letter names where the order's id could not be read: found in its bytes.

JSON that was cut off, serialized twice or written by Java's `toString` still has the field's name
and, behind some signs, the number. What is found there is no more than a hint: nothing decides by
it, and the letter's `order_id` stays null.
"""

LOOKED_AT = 4000  # bytes of a value, so that a letter's own size costs nothing

# SQL, and the expression of an index: where it changes, a migration builds that anew. It stays a
# text, for a cast could fail. 'escape' takes all bytes. No backslashes: they would depend on
# standard_conforming_strings.
NAMED_ORDER = (
    f"substring(encode(substring(record_value, 1, {LOOKED_AT}), 'escape'), "
    "'orderId[^A-Za-z0-9-]{1,12}0*([1-9][0-9]{0,18})(?![0-9.])')"
)
