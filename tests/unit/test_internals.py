"""What is private in kafka-python is used in one module, listed there, and checked at the start."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from delivery.broker import internals
from delivery.errors import SettingsError

INTERNALS = Path(internals.__file__)
OTHERS = sorted(set(INTERNALS.parent.glob("*.py")) - {INTERNALS})  # that import kafka-python

LISTED = {
    (owner, name) for use in internals.USES for owner, names in use.parts.items() for name in names
}
NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}  # public, in spite of their names
PRIVATE = {word for _, name in LISTED for word in name.split(".") if word.startswith("_")}


def private_names(module: Path) -> Iterator[tuple[str, bool]]:
    """Each private attribute that a module uses or defines, and whether it is one of `self`'s."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            yield node.attr, isinstance(node.value, ast.Name) and node.value.id == "self"
        elif isinstance(node, ast.ClassDef):
            methods = (
                m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            yield from ((m.name, True) for m in methods if _is_private(m.name))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLES


@pytest.mark.parametrize("module", OTHERS, ids=lambda module: module.stem)
def test_no_other_module_touches_a_private_part_of_kafka_python(module: Path) -> None:
    used = set(private_names(module))
    assert not {name for name, is_selfs in used if not is_selfs}
    assert not {name for name, _ in used} & PRIVATE


def test_what_is_listed_is_what_is_used() -> None:
    assert {name for name, _ in private_names(INTERNALS)} == PRIVATE


@pytest.mark.parametrize(("owner", "name"), sorted(LISTED, key=str))
def test_a_part_that_is_missing_is_named_at_the_start(owner: type, name: str) -> None:
    example = SimpleNamespace()
    for of, other in LISTED - {(owner, name)}:
        if of is owner:
            _give(example, other)
    with pytest.raises(
        SettingsError, match=rf"^kafka-python 3\.0\S* has no {name}, which .*install"
    ):
        internals.require(owner, example)


def _give(example: SimpleNamespace, name: str) -> None:
    *owners, last = name.split(".")
    for owner in owners:
        example.__dict__.setdefault(owner, SimpleNamespace())
        example = getattr(example, owner)
    setattr(example, last, None)
