"""Errors as problem details (RFC 9457): one shape for programs, whatever went wrong."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field

from delivery.web import request_ids
from delivery.web.pool import RETRY_AFTER_S

MEDIA_TYPE = "application/problem+json"


class Wrong(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(description="The parameter, by its name.")
    detail: str


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field(default="about:blank", description="It has no page of its own.")
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong, and what to do about it.")
    errors: list[Wrong] | None = Field(
        default=None, description="For 422 and 403: each wrong field."
    )
    request_id: str | None = Field(
        default=None, description="`X-Request-ID` of the answer: the log's lines about it have it."
    )


class NotFoundError(Exception):
    """There is nothing to answer with. The text says of what."""


class WrongFieldError(Exception):
    """A field that only its own reader can judge is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.wrong = Wrong(field=field, detail=detail)


class NotAllowedError(WrongFieldError):
    """A field that is not for the one who asks."""


def problem(status: int, detail: str, errors: Sequence[Wrong] = ()) -> Problem:
    """A problem with the status's own title."""
    title = HTTPStatus(status).phrase
    return Problem(
        title=title,
        status=status,
        detail=detail,
        errors=list(errors) or None,
        request_id=request_ids.current(),
    )


def wrong_fields(error: RequestValidationError) -> Problem:
    """422 that names each field. Its value is not repeated: it may be anything."""
    errors = [_wrong(found) for found in error.errors()]
    named = ", ".join(dict.fromkeys(wrong.field for wrong in errors))
    return problem(422, f"wrong in the request: {named}", errors)


def wrong_field(error: WrongFieldError) -> Problem:
    """422 for one field, or 403 where others may give it."""
    status = 403 if isinstance(error, NotAllowedError) else 422
    return problem(status, f"wrong in the request: {error.wrong.field}", [error.wrong])


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response; 503 says when to try again."""
    retry = (
        {"Retry-After": str(RETRY_AFTER_S)}
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE
        else {}
    )
    return Response(
        problem.model_dump_json(exclude_none=True),
        problem.status,
        headers=retry | dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These responses, as OpenAPI's description of an operation names them."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {s: {"description": HTTPStatus(s).phrase, "content": content} for s in statuses}


def _wrong(error: Mapping[str, Any]) -> Wrong:
    sources = {"query", "path", "body", "header"}
    field = next((str(part) for part in error["loc"] if part not in sources), "request")
    detail = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        detail = "there is no such parameter"
    return Wrong(field=field, detail=detail)
