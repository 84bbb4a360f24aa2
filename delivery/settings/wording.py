"""What is said of a setting that is wrong: its variable, and how its value is written."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from delivery.settings.values import PREFIX

DATABASE_URL = "DELIVERY_DATABASE_URL"

HINTS = {
    DATABASE_URL: "the PostgreSQL to use, such as postgresql://user:password@host:5432/"
    "database (`delivery dev` starts one and prints its URL)",
    "DELIVERY_KAFKA_BOOTSTRAP_SERVERS": "the Kafka to use, such as host:9092 "
    "(`delivery dev` starts one and prints its address)",
    "DELIVERY_WEB_OIDC_ISSUER": "the provider of DELIVERY_WEB_LOGIN=oidc, such as "
    "https://login.example.com/realms/staff",
    "DELIVERY_WEB_OIDC_CLIENT_ID": "the name of this service at the provider",
    "DELIVERY_WEB_OIDC_REDIRECT_URL": "the address of these pages followed by /login/callback, as "
    "the provider knows it",
}

# By pydantic's kind of error, with what it knows of the bound. What has no entry here raises a
# ValueError of our own (values.py), whose text is the message.
_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "int_parsing_size": lambda _: "must be a whole number",
    "bool_parsing": lambda _: "must be true or false",
    "greater_than_equal": lambda bound: f"must be {bound['ge']} or more",
    "less_than_equal": lambda bound: f"must be {bound['le']} or less",
    "string_too_short": lambda _: "must not be empty",
    "literal_error": lambda bound: f"must be one of {_listed(bound['expected'])}",
}


def messages(error: ValidationError) -> list[str]:
    """One text for each setting that is wrong. None repeats a value: it may be a secret."""
    return [_message(e) for e in error.errors(include_url=False, include_input=False)]


def _message(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # a rule over several settings names them itself
        return message
    name = f"{PREFIX}{error['loc'][0]}".upper()
    if error["type"] == "missing":
        return f"{name} is not set: {HINTS[name]}"
    if word := _WORDS.get(error["type"]):
        return f"{name} {word(error.get('ctx', {}))}"
    return f"{name} {message[0].lower()}{message[1:]}"


def _listed(expected: str) -> str:
    """As pydantic has it: 'A', 'B' or 'C'."""
    return expected.replace("'", "").replace(" or ", ", ")
