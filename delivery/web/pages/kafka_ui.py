"""The address of a record in somebody's user interface for Kafka. Pure."""

from urllib.parse import quote

from delivery.domain.imported import is_import
from delivery.history import Row


def link(template: str | None, row: Row) -> str | None:
    """That of `row`'s record; None where no template is set, or no topic has the record."""
    if template is None or is_import(row["record_topic"]):
        return None
    names = ("topic", "partition", "offset")
    return template.format(**{n: quote(str(row[f"record_{n}"]), safe="") for n in names})
