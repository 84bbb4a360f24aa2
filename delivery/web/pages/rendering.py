"""Renders templates. Jinja2 escapes all that is not markup; an undefined name is an error."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from delivery.web import masking, prefix
from delivery.web.identity import identity_of, shows_personal_data
from delivery.web.pages import display, escaping, formatting, kafka_ui, language

if TYPE_CHECKING:
    from delivery.web.login.tokens import FormTokens

_COMMAND = re.compile(r"`([^`]+)`")


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """The page of a template, which also knows its path and whether personal data is shown."""
    settings = request.app.state.settings
    filters = request.url.query
    context |= {
        "path": request.url.path,
        "here": f"{request.url.path}?{filters}" if filters else request.url.path,
        "show_personal_data": shows_personal_data(request),
        "kafka_ui": partial(kafka_ui.link, settings.web_kafka_ui_url),
        **_may(request),
    }
    text = _TEMPLATES[template].render(context)
    headers = {"Cache-Control": "no-store"}
    if context["form_token"]:
        headers["Referrer-Policy"] = "same-origin"  # without one a form of ours has no Origin
    return HTMLResponse(text, status, headers=headers)


def _may(request: Request) -> dict[str, Any]:
    """Who looks, and what a page may offer them. Without a login that is nothing."""
    identity = identity_of(request.scope)
    tokens: FormTokens | None = getattr(request.app.state, "form_tokens", None)  # if one may act
    roles = identity.roles if identity and tokens else frozenset()
    return {
        "identity": identity,
        "logs_out": hasattr(request.app.state, "provider"),
        "has_actions": tokens is not None,
        "acts": "operator" in roles,
        "reveals": "personal_data" in roles and not shows_personal_data(request),
        "form_token": tokens.token(identity) if identity and tokens else "",
    }


def link(path: str, filters: Mapping[str, Any]) -> str:
    """The address of a path of ours, with the filters that are given."""
    return prefix.address(f"{path}{query(filters)}")


def query(filters: Mapping[str, Any]) -> str:
    """The filters that are given as an address ends with them; nothing if none is."""
    given = {name: value for name, value in filters.items() if value}
    text = _ENVIRONMENT.filters["urlencode"](
        [(n, v) for n, vs in given.items() for v in (vs if isinstance(vs, list) else [vs])]
    )
    return f"?{text}" if text else ""


def downloads(path: str, filters: Mapping[str, Any]) -> dict[str, str]:
    """Where the API has all that match these filters, by the name of the format."""
    formats = {"CSV": "csv", "JSON lines": "ndjson"}
    return {name: link(path, {**filters, "format": kind}) for name, kind in formats.items()}


def _value(value: object) -> Markup:
    """A value of a column, whatever its kind."""
    match value:
        case None:
            return Markup('<span class="none">{}</span>').format(language.gettext("none"))
        case masking.MASK:
            return Markup('<span class="masked">{}</span>').format(language.gettext(value))
        case datetime() if value.tzinfo is None:
            return Markup('{} <span class="gap">{}</span>').format(
                value.isoformat(" "), language.gettext("as sent, without offset")
            )
        case datetime():
            return formatting.format_time(value)
        case _:
            return escaping.untrusted(value)


def _code(text: str) -> Markup:
    """Commands between backticks as code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("delivery.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    of_extension: Any = environment  # mypy does not know what the extension adds
    of_extension.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)
    environment.filters |= {
        "untrusted": escaping.untrusted,
        "value": _value,
        "time": formatting.format_time,
        "number": formatting.number,
        "about": formatting.about,
        "size": formatting.size,
        "sentence": formatting.sentence,
        "code": _code,
        "told": language.told,
        "word": language.word,
    }
    environment.globals |= {
        "zone": display.described,
        "base": prefix.base,
        "language": language.language,
        "languages": language.NAMES,
    }
    return environment


_ENVIRONMENT = _environment()

# Compiled at import: the first visitor does not wait for it.
_TEMPLATES = {name: _ENVIRONMENT.get_template(name) for name in _ENVIRONMENT.list_templates()}
