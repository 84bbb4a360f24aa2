"""Variables that look like a setting and are none: a name that was mistyped changes nothing."""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from delivery.settings.values import PREFIX

# What Kubernetes sets in each pod for a Service whose name begins with "delivery".
_OF_KUBERNETES = re.compile(r"\w+_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://")  # its DELIVERY_..._PORT

_OF_TESTS = f"{PREFIX}TEST_"


def complaints(
    environment: Mapping[str, str], known: Collection[str], secrets: Path | None
) -> list[str]:
    """A sentence for each variable, and each file of the folder of secrets, that is no setting."""
    names = [*_variables(environment), *_files(secrets)]
    return [_complaint(name, known) for name in names if name.upper() not in known]


def _variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(environment.items()):
        if _looks_like_a_setting(name) and not (
            _OF_KUBERNETES.fullmatch(name) or (name.endswith("_PORT") and _ADDRESS.match(value))
        ):
            yield name


def _files(folder: Path | None) -> list[str]:
    if folder is None or not folder.is_dir():  # which is an error of its own
        return []
    names = (path.name for path in folder.iterdir())
    return sorted(filter(_looks_like_a_setting, names))


def _looks_like_a_setting(name: str) -> bool:
    """In capitals or not: pydantic-settings takes both."""
    return name.upper().startswith(PREFIX) and not name.upper().startswith(_OF_TESTS)


def _complaint(name: str, known: Collection[str]) -> str:
    nearest = get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    if not nearest:
        return f"{name} is no setting, and is not used"
    return f"{name} is no setting, and is not used: did you mean {nearest[0]}?"
