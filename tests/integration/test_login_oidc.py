"""A login by an OpenID Connect provider: whom it lets in, and who can't borrow that."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx import URL, Client, Response
from oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, new_key, oidc_provider
from served import served
from test_login import logged_in

from delivery import settings as all_settings
from delivery.errors import SettingsError
from delivery.settings import OidcSettings, WebSettings
from delivery.web.app import create_app

# By which browsers come, as the provider knows it; the tests put the server's own address there.
ADDRESS = "http://delivery.example.com"
CALLBACK = f"{ADDRESS}/login/callback"


class MakeBrowser(Protocol):
    """A browser, with cookies of its own, of a service with these settings."""

    def __call__(self, oidc: dict[str, Any] | None = None, **settings: Any) -> Client: ...


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oidc_provider() as running:
        yield running


@pytest.fixture
def make_browser(database_url: str, provider: Provider) -> Iterator[MakeBrowser]:
    with ExitStack() as running:

        def make(oidc: dict[str, Any] | None = None, **settings: Any) -> Client:
            own = of_provider(provider, **(oidc or {}))
            settings = {"web_login": "oidc", "web_allowed_hosts": "delivery.example.com"} | settings
            address = running.enter_context(served(database_url, oidc=own, **settings))
            headers = {"Host": "delivery.example.com"}
            browser = running.enter_context(Client(timeout=30, headers=headers))
            browser.base_url = URL(address)
            return browser

        yield make


def of_provider(provider: Provider, **others: Any) -> OidcSettings:
    known = {
        "web_oidc_issuer": provider.issuer,
        "web_oidc_client_id": CLIENT_ID,
        "web_oidc_client_secret": CLIENT_SECRET,
        "web_oidc_redirect_url": CALLBACK,
    }
    return OidcSettings(**(known | others))


def led_back(browser: Client, **asked: str) -> str:
    """Where the provider leads whoever wants to log in."""
    begun = browser.get("/login", params=asked)
    assert begun.status_code == 302, begun.text
    with Client() as elsewhere:
        answer = elsewhere.get(begun.headers["location"])
    assert answer.status_code == 302, answer.text
    return answer.headers["location"].removeprefix(ADDRESS)


def log_in(browser: Client, **asked: str) -> Response:
    return browser.get(led_back(browser, **asked))


# Whom it lets in


def test_a_page_leads_to_the_provider_and_back_to_itself(make_browser: MakeBrowser) -> None:
    browser = make_browser()
    page = browser.get("/events?outcome=stale")
    assert page.status_code == 401
    way = re.fullmatch(r"0; url=(/login\?.*)", page.headers["refresh"])
    assert way is not None
    assert way[1].replace("&", "&amp;") in page.text, "a link for who follows no refresh"
    back = log_in(browser, back=parse_qs(urlsplit(way[1]).query)["back"][0])
    assert (back.status_code, back.headers["location"]) == (303, "/events?outcome=stale")
    assert logged_in(browser.get(back.headers["location"])) == "kim@example.com"


def test_programs_are_told_and_probes_are_let_through(make_browser: MakeBrowser) -> None:
    browser = make_browser()
    refused = browser.get("/api/v1/events")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert "refresh" not in refused.headers
    assert browser.get("/healthz").status_code == 200
    log_in(browser)
    assert browser.get("/api/v1/events").status_code == 200


def test_groups_give_roles_and_only_those_of_use_are_kept(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser(web_readers="group:support")
    provider.said["groups"] = ["sales", *(f"team-{n}" for n in range(1000))]
    log_in(browser)
    assert browser.get("/").status_code == 403
    provider.said["groups"] += ["support"]
    log_in(browser)
    assert browser.get("/").status_code == 200
    assert sum(len(cookie.value or "") for cookie in browser.cookies.jar) < 1000


def test_claims_that_only_userinfo_has_are_asked_for(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    provider.said = {"sub": "7"}
    provider.told = {"sub": "7", "preferred_username": "kim"}
    browser = make_browser(oidc={"web_oidc_name_claim": "preferred_username"})
    assert log_in(browser).status_code == 303
    assert logged_in(browser.get("/")) == "kim"
    provider.told = {"sub": "8", "preferred_username": "lee"}
    browser.cookies.clear()
    assert log_in(browser).status_code == 403


def test_whoever_logs_out_is_out_here(make_browser: MakeBrowser) -> None:
    browser = make_browser()
    log_in(browser)
    assert 'action="/logout"' in browser.get("/").text
    assert browser.post("/logout", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.get("/").status_code == 200
    assert "Logged out" in browser.post("/logout").text
    assert browser.get("/").status_code == 401


def test_below_a_path_the_cookie_is_for_that_path(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    redirect = {"web_oidc_redirect_url": f"{ADDRESS}/tools/login/callback"}
    browser = make_browser(oidc=redirect, web_path_prefix="/tools")
    begun = browser.get("/tools/login?back=/events")
    assert "path=/tools;" in begun.headers["set-cookie"]
    with Client() as elsewhere:
        back = elsewhere.get(begun.headers["location"]).headers["location"]
    there = browser.get(back.removeprefix(ADDRESS))
    assert there.headers["location"] == "/tools/events"
    with pytest.raises(SettingsError, match="REDIRECT_URL must have the path /login/callback"):
        create_app(
            WebSettings(web_login="oidc", web_database_url="postgresql://nobody@127.0.0.1:1/none"),
            oidc=of_provider(provider, **redirect),
        )


# Who can't borrow that


@pytest.mark.parametrize(
    "lies",
    [
        {"aud": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": int(time.time()) - 3600},
        {"nonce": "another"},
        {"sub": None},
    ],
    ids=lambda lies: next(iter(lies)),
)
def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    lies: dict[str, Any], make_browser: MakeBrowser, provider: Provider
) -> None:
    provider.lies = lies
    browser = make_browser()
    assert log_in(browser).status_code == 403
    assert browser.get("/").status_code == 401


def test_a_token_that_another_key_signed_lets_nobody_in(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser()
    provider.signs_with = new_key()
    assert log_in(browser).status_code == 403
    assert browser.get("/").status_code == 401


def test_a_token_that_nobody_signed_lets_nobody_in(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser()
    provider.signs = False
    assert log_in(browser).status_code == 403
    assert browser.get("/").status_code == 401


def test_a_new_key_of_the_provider_is_fetched(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser()
    log_in(browser)
    provider.key = new_key("2")
    assert log_in(browser).status_code == 303


@pytest.mark.parametrize(
    "said",
    [
        {"sub": "7"},
        {"sub": "7", "email": "kim@example.com"},
        {"sub": "7", "email": "kim@example.com", "email_verified": "true"},
        {"sub": "7", "email": ["kim@example.com"], "email_verified": True},
        {"sub": "7", "email": "kim\u202e@example.com", "email_verified": True},
    ],
    ids=str,
)
def test_an_address_that_nobody_verified_is_no_name(
    said: dict[str, Any], make_browser: MakeBrowser, provider: Provider
) -> None:
    provider.said = said
    browser = make_browser()
    assert log_in(browser).status_code == 403
    assert browser.get("/").status_code == 401


def test_what_another_browser_began_is_not_finished(make_browser: MakeBrowser) -> None:
    begun_by, victim = make_browser(), make_browser()
    back = led_back(begun_by)
    refused = victim.get(back)
    assert refused.status_code == 400
    assert "begin again" in refused.text
    assert victim.get("/").status_code == 401


def test_a_code_is_good_for_one_login(make_browser: MakeBrowser) -> None:
    browser = make_browser()
    back = led_back(browser)
    before = dict(browser.cookies)
    assert browser.get(back).status_code == 303
    browser.cookies.clear()
    browser.cookies.update(before)
    assert browser.get(back).status_code == 403, "the provider knows that it is used"


def test_a_cookie_that_was_changed_or_has_run_out_is_none(
    make_browser: MakeBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = make_browser()
    log_in(browser)
    (cookie,) = [each for each in browser.cookies.jar if each.name == "delivery_session"]
    value = cookie.value or ""
    assert cookie.has_nonstandard_attr("httponly")
    browser.cookies.clear()
    for other in (f"x{value[1:]}", value.rpartition(".")[0], "e30=", ""):
        refused = browser.get("/", headers={"Cookie": f"delivery_session={other}"})
        assert refused.status_code == 401, other
    browser.cookies.set("delivery_session", value)
    browser.get("/login")  # writes the cookie anew
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 8 * 3600 - 60)
    assert browser.get("/").status_code == 200
    monkeypatch.setattr(time, "time", lambda: now() + 8 * 3600 + 1)
    assert browser.get("/").status_code == 401


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_it_leads_to_no_page_of_somebody_else_s(back: str, make_browser: MakeBrowser) -> None:
    assert log_in(make_browser(), back=back).headers["location"] == "/"


# A provider that is not as it should be


def test_a_person_whom_the_provider_turns_away_is_told(make_browser: MakeBrowser) -> None:
    refused = make_browser().get("/login/callback?error=access_denied&error_description=<b>x")
    assert refused.status_code == 403
    assert "The provider let nobody in" in refused.text
    assert "<b>" not in refused.text


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", (500, {})),
        ("/.well-known/openid-configuration", (200, "<html>")),
        ("/.well-known/openid-configuration", (200, {"issuer": "http://127.0.0.1:1"})),
        ("/.well-known/openid-configuration", (200, [])),
        ("/token", (500, "no JSON")),
        ("/keys", (500, {})),
        ("/keys", (200, {"keys": 1})),
    ],
    ids=str,
)
def test_while_the_provider_fails_the_page_says_so_and_a_later_login_works(
    path: str, answer: tuple[int, Any], make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser()
    provider.answers[path] = answer
    begun = browser.get("/login")
    if begun.status_code == 302:
        with Client() as elsewhere:
            back = elsewhere.get(begun.headers["location"]).headers["location"]
        begun = browser.get(back.removeprefix(ADDRESS))
    assert begun.status_code == 503
    assert "The provider of the login does not answer as it should" in begun.text
    provider.answers.clear()
    assert log_in(browser).status_code == 303


def test_without_a_provider_the_pages_start_and_say_so(
    make_browser: MakeBrowser, provider: Provider
) -> None:
    browser = make_browser(oidc={"web_oidc_issuer": "http://127.0.0.1:1"})
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/login").status_code == 503
    assert not provider.asked


# Settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ISSUER", None, "DELIVERY_WEB_OIDC_ISSUER is not set: the provider"),
        ("ISSUER", "http://login.example.com", "must begin with https:// unless"),
        ("REDIRECT_URL", "https://delivery.example.com", "followed by /login/callback"),
        ("SESSION_LIFETIME", "5", "must be between a minute and 31 days"),
    ],
)
def test_a_wrong_setting_is_named(
    name: str, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "ISSUER": "https://login.example.com/",
        "CLIENT_ID": "delivery",
        "REDIRECT_URL": "https://delivery.example.com/login/callback",
    } | {name: value}
    for key, text in given.items():
        if text is None:
            monkeypatch.delenv(f"DELIVERY_WEB_OIDC_{key}", raising=False)
        else:
            monkeypatch.setenv(f"DELIVERY_WEB_OIDC_{key}", text)
    with pytest.raises(SettingsError, match=f"DELIVERY_WEB_OIDC_{name} .*{said}|{said}"):
        all_settings.load(OidcSettings)
