"""`delivery schema`"""

from delivery.cli import output
from delivery.domain.schema import json_schema


def schema() -> None:
    """Print the contract of a record's value as JSON Schema.

    It needs no setting and no server. Fields that it does not name are allowed,
    and kept in the log.

    \b
    Example:
      delivery schema > order-create-event.schema.json
    """
    output.json_document(json_schema())
