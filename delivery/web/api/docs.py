"""The API's page for people, made from its OpenAPI description. It needs no script."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from delivery.web.api.problems import Problem
from delivery.web.pages import rendering

router = APIRouter(include_in_schema=False)

OPENAPI_URL = "/api/v1/openapi.json"

TAGS = [
    {"name": "orders", "description": "One order: its delivery, and what became of its records."},
    {"name": "events", "description": "The log: what became of each record."},
    {"name": "dead-letters", "description": "Records that could not be processed."},
    {"name": "stats", "description": "Counts, and how far the worker is behind."},
    {"name": "health", "description": "Probes for supervisors and load balancers."},
]


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with the models of the problems beside those of the answers."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        _, models = models_json_schema(
            [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        app.openapi_schema["components"]["schemas"] |= models["$defs"]
    return app.openapi_schema


class Parameter(NamedTuple):
    """What a parameter is for, and what it may be."""

    name: str
    kind: str
    is_required: bool
    description: str


class Answer(NamedTuple):
    """A status, and the model that the answer has; empty where it has none."""

    status: str
    description: str
    model: str


class Operation(NamedTuple):
    """What can be asked for at a path."""

    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    answers: list[Answer]


@router.get("/api/openapi.json")
def openapi(request: Request) -> Response:
    """The description at the address that it had before there was a version in it."""
    return JSONResponse(request.app.openapi())


@router.get("/api/docs")
def page(request: Request) -> Response:
    """The operations with their parameters and answers, and the models of the answers."""
    schema = request.app.openapi()
    return rendering.page(
        request,
        "api_docs.html",
        description=schema["info"]["description"],
        version=schema["info"]["version"],
        operations=list(operations(schema)),
        models=dict(models(schema)),
    )


def operations(schema: Mapping[str, Any]) -> Iterator[Operation]:
    """Each operation of the schema."""
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            yield Operation(
                path,
                operation["summary"],
                operation.get("description", ""),
                [_parameter(p) for p in operation.get("parameters", [])],
                [_answer(status, a) for status, a in operation["responses"].items()],
            )


def models(schema: Mapping[str, Any]) -> Iterator[tuple[str, list[Parameter]]]:
    """The members of each model that an answer has."""
    for name, model in sorted(schema["components"]["schemas"].items()):
        if "properties" in model:
            required = model.get("required", [])
            yield (
                name,
                [
                    Parameter(
                        member, _kind(about), member in required, about.get("description", "")
                    )
                    for member, about in model["properties"].items()
                ],
            )


def _parameter(parameter: Mapping[str, Any]) -> Parameter:
    about = parameter["schema"]
    description = parameter.get("description", about.get("description", ""))
    return Parameter(parameter["name"], _kind(about), parameter.get("required", False), description)


def _answer(status: str, answer: Mapping[str, Any]) -> Answer:
    schemas = [c.get("schema", {}) for c in answer.get("content", {}).values()]
    return Answer(status, answer["description"], _kind(schemas[0]) if schemas else "")


def _kind(about: Mapping[str, Any]) -> str:
    """The kind of a value in words."""
    if "$ref" in about:
        return str(about["$ref"]).rpartition("/")[2]
    if "anyOf" in about:
        return " or ".join(_kind(one) for one in about["anyOf"])
    if "enum" in about:
        return " | ".join(map(str, about["enum"]))
    if about.get("type") == "array":
        return f"list of {_kind(about['items'])}"
    kind = str(about.get("format") or about.get("type", "any"))
    bounds = [str(about[edge]) for edge in ("minimum", "maximum") if edge in about]
    default = f", {about['default']} if left out" if about.get("default") is not None else ""
    return kind + (f" from {' to '.join(bounds)}" if bounds else "") + default
