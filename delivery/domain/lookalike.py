"""What a rejected value looks like, and what its producer can do about it. Pure.

Nothing here decides: the contract refuses these values, whatever they look like. A text holds no
value of the record.
"""

import json
import re

from delivery.domain import json_shape, signature
from delivery.domain.json_shape import NO_JSON, parsed

_IN_UTF_8 = "{}: have the producer write UTF-8"
_COMPRESSED = "{} data: have the producer use `compression.type`, which is undone on the way"
_SERIALIZED = "{}: have the producer use a JSON serializer"

KINDS: dict[signature.Kind, str] = {
    "BOM": "text behind a byte order mark (BOM): have the producer leave it out",
    "UTF-16": _IN_UTF_8.format("UTF-16"),
    "UTF-32": _IN_UTF_8.format("UTF-32"),
    "bzip2": _COMPRESSED.format("bzip2"),
    "gzip": _COMPRESSED.format("gzip"),
    "lz4": _COMPRESSED.format("lz4"),
    "snappy": _COMPRESSED.format("snappy"),
    "xz": _COMPRESSED.format("xz"),
    "zip": _COMPRESSED.format("zip"),
    "zstd": _COMPRESSED.format("zstd"),
    "Avro": _SERIALIZED.format("an Avro file"),
    "Java": _SERIALIZED.format("a serialized Java object"),
    "Parquet": _SERIALIZED.format("a Parquet file"),
}

_REGISTRY = re.compile(rb"\x00[\s\S]{4}([\s\S])")  # Confluent's wire format: 0, a schema's id

TEXTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\s*<"), _SERIALIZED.format("XML or HTML")),
    (re.compile(r"\s*eyJ[\w+/-]+=*\s*\Z"), "JSON in base64: have the producer send it as it is"),
    (re.compile(r"\s*\{\s*'"), _SERIALIZED.format("Python's `repr` of the event")),
    (re.compile(r"\s*[\w.$]+[\[({]\w+="), _SERIALIZED.format("Java's `toString` of the event")),
    (re.compile(r"\s*[\w.]+=[^{]*(?:&[\w.]+=[^{]*)+\Z"), _SERIALIZED.format("a form's fields")),
)

ENCODINGS = {"cp949": "cp949 (EUC-KR)", "latin-1": "a code page such as latin-1"}


def looks_like(value: bytes, *, is_cut: bool = False) -> str | None:
    """What the value looks like and what to do, or None. Never raises.

    Where only the beginning of a value is given, it `is_cut`, and less of it is recognised.
    """
    found = _bytes(value)
    if found is None and not is_cut:
        document = parsed(value)
        found = _not_json(value) if document is NO_JSON else json_shape.look(document)
    return None if found is None else f"this looks like {found}"


def _bytes(value: bytes) -> str | None:
    if (kind := signature.kind(value)) is not None:
        return KINDS[kind]
    if (registry := _REGISTRY.match(value)) is not None:
        inside = "JSON" if registry[1] in b"{[" else "Avro or Protobuf"
        return _SERIALIZED.format(
            f"{inside} of a schema registry's serializer, behind a schema's id"
        )
    return None


def _not_json(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _other_encoding(value)
    for pattern, found in TEXTS:
        if pattern.match(text):
            return found
    return _broken_json(text)


def _other_encoding(value: bytes) -> str | None:
    for encoding, name in ENCODINGS.items():
        try:
            text = value.decode(encoding)
        except UnicodeDecodeError:
            continue
        if parsed(text) is not NO_JSON:
            return _IN_UTF_8.format(f"JSON in {name}")
    return None


def _broken_json(text: str) -> str | None:
    text = text.strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text) or error.msg.startswith("Unterminated")
        return (
            "JSON that was cut off: look for a limit of length at the producer" if is_cut else None
        )
    except RecursionError:
        return None
    if text[end:].lstrip().startswith(("{", "[")):
        return "several JSON texts in one record: have the producer send one record for each"
    return None
