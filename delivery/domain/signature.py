"""What bytes are, by their first ones. Pure.

See https://en.wikipedia.org/wiki/List_of_file_signatures
"""

import re
from typing import Literal

Kind = Literal[
    "BOM",
    "UTF-16",
    "UTF-32",
    "bzip2",
    "gzip",
    "lz4",
    "snappy",
    "xz",
    "zip",
    "zstd",
    "Avro",
    "Java",
    "Parquet",
]

BOM = b"\xef\xbb\xbf"  # of UTF-8

_FIRST_BYTES: dict[bytes, Kind] = {
    BOM: "BOM",
    b"\xff\xfe\x00\x00": "UTF-32",  # before UTF-16, which begins in the same way
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"BZh": "bzip2",
    b"\x1f\x8b": "gzip",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x82SNAPPY\x00": "snappy",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"Obj\x01": "Avro",
    b"\xac\xed\x00\x05": "Java",
    b"PAR1": "Parquet",
}

# ASCII in UTF-16 and UTF-32 without a byte order mark.
_UTF_16 = re.compile(rb"(?:\x00[^\x00]){2}|(?:[^\x00]\x00){2}", re.DOTALL)
_UTF_32 = re.compile(rb"(?:\x00{3}[^\x00]){2}|(?:[^\x00]\x00{3}){2}", re.DOTALL)


def kind(value: bytes) -> Kind | None:
    """What the value is, or None."""
    for first_bytes, found in _FIRST_BYTES.items():
        if value.startswith(first_bytes):
            return found
    if _UTF_32.match(value):
        return "UTF-32"
    return "UTF-16" if _UTF_16.match(value) else None
