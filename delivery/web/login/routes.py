"""The addresses at which somebody logs in and out, where DELIVERY_WEB_LOGIN is oidc."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from delivery.web import prefix
from delivery.web.login import oidc, sessions
from delivery.web.login.middleware import is_own_form
from delivery.web.login.oidc import LoginError, Provider
from delivery.web.pages import error_pages, rendering
from delivery.web.pages.formatting import sentence

_BACK = "back"  # in the session, while the provider is asked

router = APIRouter(include_in_schema=False)


@router.get(sessions.LOGIN)
async def log_in(request: Request, back: str = "/") -> Response:
    """Leads to the provider."""
    provider: Provider = request.app.state.provider
    try:
        answer = await provider.begin(request)
    except LoginError as error:
        return _refused(request, error)
    request.session[_BACK] = prefix.own_path(back)
    return answer


@router.get(sessions.CALLBACK)
async def come_back(request: Request) -> Response:
    """The provider leads here, with a code for what it says of the person."""
    provider: Provider = request.app.state.provider
    settings = request.app.state.settings
    back = request.session.get(_BACK, "/")
    try:
        person = await provider.finish(request)
    except LoginError as error:
        return _refused(request, error)
    named = (
        *settings.web_readers,
        *settings.web_operators,
        *settings.web_personal_data_readers,
    )
    groups = oidc.of_use(person.groups, named)
    sessions.begin(request, person.name, groups, provider.session_lifetime)
    return RedirectResponse(prefix.address(back), 303)


@router.post(sessions.LOGOUT)
def log_out(request: Request) -> Response:
    """Forgets the session here. That at the provider goes on."""
    if not is_own_form(request.headers):
        return error_pages.page(request, 403)
    sessions.end(request)
    return rendering.page(request, "logged_out.html")


def _refused(request: Request, error: LoginError) -> Response:
    return error_pages.page(
        request, error.status, sentence(error.detail), link=(sessions.way_in("/"), "Log in")
    )
