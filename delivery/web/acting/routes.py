"""The pages by which somebody acts: first a page that names what would be done, then the deed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from delivery.dead_letters import queries as letters
from delivery.domain.vocabulary import Action
from delivery.inbox.dead_letters import Resolver
from delivery.postgres import database, session
from delivery.postgres.database import Connection, transaction
from delivery.web import masking, prefix, searching
from delivery.web.acting import actions
from delivery.web.acting.runner import Order, Runner
from delivery.web.identity import Role, has_role, identity_of
from delivery.web.pages import error_pages, formatting, forms, rendering
from delivery.web.pages.routes import BEGINNING, whole_letter

ON_ONE_PAGE = 50
LONGEST_FORM = 16_384  # bytes
REFRESH_S = 2
STATEMENT_TIMEOUT = timedelta(seconds=15)

router = APIRouter(include_in_schema=False)


class Chosen(NamedTuple):
    """Open letters, and the filters that choose them, as in an address."""

    ids: list[int]
    filters: dict[str, str]
    errors: dict[str, str]

    @property
    def for_everybody(self) -> dict[str, str]:
        """The filters as they are written down, where every operator reads them."""
        return self.filters | {name: masking.MASK for name in self.filters if name == "text"}

    @property
    def upto(self) -> int:
        """The newest of them: what arrives while somebody decides is not meant."""
        return max(self.ids, default=0)


async def sent(request: Request) -> dict[str, str]:
    """The fields of the form that was sent. Raises HTTPException for one that is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise HTTPException(413)
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


Sent = Annotated[dict[str, str], Depends(sent)]


@router.get("/dead-letters/resolve")
def ask(request: Request) -> Response:
    """Says how many letters it would be, and asks for what and why."""
    _require(request, "operator")
    with _connected(request) as connection:
        chosen = _chosen(request, connection, request.query_params)
    return _confirmation(request, chosen, {}, {})


@router.post("/dead-letters/resolve")
def act(request: Request, form: Sent) -> Response:
    """Begins to replay or to discard the letters, and leads to the page of that action."""
    _require(request, "operator")
    _require_own(request, form)
    runner: Runner = request.app.state.runner
    action: Action | None = {"replay": "replay", "discard": "discard"}.get(form.get("action", ""))  # type: ignore[assignment]
    reason = form.get("note", "").strip()
    with _connected(request) as connection:
        chosen = _chosen(request, connection, form)
        errors = _wrong(reason, action)
        if chosen.errors or errors or not chosen.ids or action is None:
            return _confirmation(request, chosen, errors, form)
        if form.get("number") != str(len(chosen.ids)):
            errors = {"action": "their number has changed since the page was shown: look again"}
            return _confirmation(request, chosen, errors, form)
        who = _who(request)
        filters = urlencode(chosen.for_everybody) or "all open letters"
        action_id = actions.begin(connection, who, action, reason, filters, len(chosen.ids))
        if action_id is None:
            errors = {"action": "another action is under way: wait until it has ended"}
            return _confirmation(request, chosen, errors, form)
    runner.run(Order(action_id, action, chosen.ids, Resolver(who, reason)))
    return RedirectResponse(prefix.address(f"/actions/{action_id}"), 303)


@router.get("/actions")
def newest(request: Request, before: str = "") -> Response:
    """What was done from the pages, the newest first."""
    values, errors = forms.read({"before": forms.number}, {"before": before})
    if errors:
        return error_pages.page(request, 422, errors["before"])
    with _connected(request) as connection:
        found = actions.newest(connection, values.get("before"), ON_ONE_PAGE + 1)
    last = found[ON_ONE_PAGE - 1].action_id if len(found) > ON_ONE_PAGE else ""
    older = rendering.link("/actions", {"before": last}) if last else ""
    return rendering.page(request, "actions.html", actions=found[:ON_ONE_PAGE], older=older)


@router.get("/actions/{action_id}")
def one(request: Request, action_id: str) -> Response:
    """How far an action is."""
    try:
        number = forms.number(action_id)
    except ValueError as error:
        return error_pages.page(request, 422, str(error))
    with _connected(request) as connection:
        found = actions.find(connection, number)
    if found is None:
        return error_pages.page(request, 404, f"There is no action {number}.")
    page = rendering.page(request, "action.html", action=found)
    if found.state == "running":
        page.headers["Refresh"] = str(REFRESH_S)
    return page


@router.post("/dead-letters/{dead_letter_id}/reveal")
def reveal(request: Request, dead_letter_id: str, form: Sent) -> Response:
    """Shows one letter unmasked, once it is written down who looks at it, and why."""
    _require(request, "personal_data")
    _require_own(request, form)
    try:
        number = forms.number(dead_letter_id)
    except ValueError as error:
        return error_pages.page(request, 422, str(error))
    reason = form.get("note", "").strip()
    with _connected(request) as connection:
        with transaction(connection):
            found = letters.find(connection, [number], BEGINNING)
        if not found:
            return error_pages.page(request, 404, f"There is no dead letter {number}.")
        if wrong := _wrong(reason, "reveal"):
            return error_pages.page(request, 422, formatting.sentence(wrong["note"]))
        actions.reveal(connection, _who(request), reason, f"id={number}")
        with transaction(connection):
            return whole_letter(request, connection, found[0], is_revealed=True)


def _require(request: Request, role: Role) -> None:
    """Raises HTTPException for those who have not the role."""
    if not has_role(request.scope, role):
        raise HTTPException(403)


def _require_own(request: Request, form: dict[str, str]) -> None:
    """Raises HTTPException for a form that was not shown to the login that sends it."""
    is_valid = request.app.state.form_tokens.is_valid
    if not is_valid(form.get("token", ""), identity_of(request.scope)):
        raise HTTPException(400)


def _who(request: Request) -> str:
    found = identity_of(request.scope)
    assert found is not None  # noqa: S101 (nobody has a role without)
    return found.name


def _wrong(reason: str, action: Action | None) -> dict[str, str]:
    errors = {}
    if not reason or len(reason) > forms.LONGEST_TEXT or "\0" in reason:
        errors["note"] = f"say why, in {forms.LONGEST_TEXT} characters at most"
    if action is None:
        errors["action"] = "choose one: replay or discard"
    return errors


@contextmanager
def _connected(request: Request) -> Iterator[Connection]:
    """A connection of the operator's role. Raises UnavailableError, which becomes 503."""
    url = request.app.state.settings.web_operator_database_url
    limits = session.of_reader(STATEMENT_TIMEOUT)
    with database.connect(url, "delivery serve", limits) as connection:
        yield connection


def _chosen(request: Request, connection: Connection, given: Mapping[str, str]) -> Chosen:
    """The open letters that match the filters of the page of dead letters, or the one of an id."""
    is_by_personal_data = searching.is_by_personal_data(request)
    form = forms.letters(QueryParams({**given, "resolution": "open"}), is_by_personal_data)
    values, errors = forms.read({"id": forms.number, "upto": forms.number}, given)
    filters = form.narrowing
    if "id" in values:
        filters = filters | {"id": str(values["id"])}
    errors |= form.errors
    if errors:
        return Chosen([], filters, errors)
    # A duration before now is another time whenever the page is read again.
    times = {"since": form.wanted.since, "until": form.wanted.until}
    filters = filters | {name: time.isoformat() for name, time in times.items() if time}
    with transaction(connection):
        if "id" in values:
            status = letters.status(connection, [values["id"]])
            found = [letter.dead_letter_id for letter in status if letter.resolution is None]
        else:
            found = letters.open_ids(connection, form.wanted)
    upto = values.get("upto")
    return Chosen([n for n in found if upto is None or n <= upto], filters, {})


def _confirmation(
    request: Request, chosen: Chosen, errors: dict[str, str], form: dict[str, str]
) -> Response:
    wrong = chosen.errors | errors
    return rendering.page(
        request,
        "resolve.html",
        422 if wrong else 200,
        chosen=chosen,
        errors=wrong,
        note=form.get("note", ""),
        back=rendering.link(
            "/dead-letters", {k: v for k, v in chosen.filters.items() if k != "id"}
        ),
    )
