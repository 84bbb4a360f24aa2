"""What is in a file of an archive, as JSON beside it and in `archived_months`."""

import json
from dataclasses import dataclass
from datetime import datetime

from delivery.archive.compressed import Written
from delivery.archive.rows import Fingerprint, Offsets
from delivery.domain.month import Month

FORMAT = 1  # of the file and of the manifest


def file_name(month: Month, part: int) -> str:
    """The name of the file with its rows; a later part has those that came after the first."""
    number = f".part{part}" if part > 1 else ""
    return f"processed_events-{month}{number}.csv.zst"


@dataclass(frozen=True)
class Content:
    """What was written of a month, and by what it is seen that the log still holds the same."""

    month: Month
    fingerprint: Fingerprint
    written: Written
    columns: list[str]
    coordinates: list[Offsets]
    schema_revision: str


def to_json(content: Content, part: int, archived_by: str, archived_at: datetime) -> str:
    """The manifest of a part of a month."""
    fingerprint, written = content.fingerprint, content.written
    members = {
        "format": FORMAT,
        "table": "processed_events",
        "month": str(content.month),
        "part": part,
        "file": file_name(content.month, part),
        "bytes": written.file.bytes,
        "sha256": written.file.sha256,
        "rows": fingerprint.rows,
        "text_bytes": written.text.bytes,
        "text_sha256": written.text.sha256,
        "columns": content.columns,
        "first_consumed_at": fingerprint.first_consumed_at,
        "last_consumed_at": fingerprint.last_consumed_at,
        "coordinates": [offsets._asdict() for offsets in content.coordinates],
        "schema_revision": content.schema_revision,
        "archived_by": archived_by,
        "archived_at": archived_at,
    }
    return json.dumps(members, indent=2, ensure_ascii=False, default=str) + "\n"
