"""`delivery schema`"""

import json

import typer

from delivery.domain.schema import json_schema


def schema() -> None:
    """Print the contract of a record's value as JSON Schema.

    It needs no setting and no server. Fields that it does not name are allowed,
    and kept in the log.

    \b
    Example:
      delivery schema > order-create-event.schema.json
    """
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
