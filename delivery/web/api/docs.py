"""The API's OpenAPI description, and the page that shows it to people."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from delivery.web.api.problems import Problem
from delivery.web.middleware import CSP
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
            servers=[{"url": where}] if (where := app.state.settings.web_path_prefix) else None,
        )
        _, models = models_json_schema(
            [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        app.openapi_schema["components"]["schemas"] |= models["$defs"]
    return app.openapi_schema


@router.get("/api/openapi.json")
def openapi(request: Request) -> Response:
    """The description at the address that it had before there was a version in it."""
    return JSONResponse(request.app.openapi())


@router.get("/api/docs")
def page(request: Request) -> Response:
    """Swagger UI. It is the one page with scripts: its own, from here."""
    answer = rendering.page(request, "api_docs.html")
    answer.headers["Content-Security-Policy"] = f"{CSP}; script-src 'self'; connect-src 'self'"
    return answer
