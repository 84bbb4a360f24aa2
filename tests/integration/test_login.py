"""Who may look at the pages: HTTP Basic with a file of users, or the header of a trusted proxy."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import bcrypt
import every_outcome
import pytest
from httpx import BasicAuth, Client, Response
from served import served

from delivery.errors import SettingsError
from delivery.postgres.database import Connection
from delivery.settings import WebSettings
from delivery.web.app import create_app

COST = 4  # bcrypt's least


class MakeClient(Protocol):
    """A client of a service with these settings."""

    def __call__(self, **settings: Any) -> Client: ...


@pytest.fixture
def make_client(database_url: str) -> Iterator[MakeClient]:
    with ExitStack() as running:

        def make(**settings: Any) -> Client:
            address = running.enter_context(served(database_url, **settings))
            return running.enter_context(Client(base_url=address, timeout=20))

        yield make


def logged_in(page: Response) -> str | None:
    """Who looks, as the page says."""
    found = re.search(r"Logged in as <bdi>(.*?)</bdi>", page.text)
    return found and found[1]


def user(name: str, password: str) -> str:
    """A line as `htpasswd -nB` prints it."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()
    return f"{name}:{hashed.replace('$2b$', '$2y$')}\n"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("# who may look\n\n" + user("kim", "문 앞") + user("lee", "s3:cret"))
    return path


def test_nobody_comes_in_without_a_password_but_a_probe(
    make_client: MakeClient, users: Path
) -> None:
    client = make_client(web_login="basic", web_users_file=users)
    for path in ("/", "/events", "/api/events", "/api/docs", "/static/style.css", "/none"):
        refused = client.get(path)
        assert (refused.status_code, path) == (401, path)
        assert refused.headers["WWW-Authenticate"].startswith('Basic realm="delivery"')
        assert refused.headers["Content-Security-Policy"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_a_password_lets_in_and_the_page_says_who_looks(
    make_client: MakeClient, users: Path
) -> None:
    client = make_client(web_login="basic", web_users_file=users)
    for name, password in (("kim", "문 앞"), ("lee", "s3:cret")):
        for _ in range(2):  # the second time it is remembered
            page = client.get("/", auth=BasicAuth(name, password.encode()))
            assert (page.status_code, logged_in(page) == name) == (200, True)


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Basic a2lt", "Bearer x", "Basic a2ltOg==", "Basic /////w==", "basic"],
)
def test_a_header_that_is_no_password_of_anybody_is_refused(
    make_client: MakeClient, users: Path, header: str
) -> None:
    client = make_client(web_login="basic", web_users_file=users)
    assert client.get("/", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("kim", "s3:cret"), ("Kim", "문 앞"), ("nobody", "문 앞"), ("lee", "s3:cret" + "x" * 80)],
)
def test_a_wrong_name_or_password_is_refused(
    make_client: MakeClient, users: Path, name: str, password: str
) -> None:
    client = make_client(web_login="basic", web_users_file=users)
    assert client.get("/", auth=BasicAuth(name, password.encode())).status_code == 401


def test_a_user_who_is_taken_out_of_the_file_comes_in_no_more(
    make_client: MakeClient, users: Path
) -> None:
    client = make_client(web_login="basic", web_users_file=users)
    auth = BasicAuth("lee", "s3:cret")
    assert client.get("/", auth=auth).status_code == 200
    users.write_text(user("kim", "문 앞"))
    assert client.get("/", auth=auth).status_code == 401
    users.unlink()
    assert client.get("/", auth=auth).status_code == 503


@pytest.mark.parametrize("line", ["kim", "kim:secret", "kim:$apr1$a$b", ":$2y$05$" + "a" * 53])
def test_a_file_with_another_line_is_named_with_the_line_and_without_it(
    database_url: str, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "users"
    path.write_text(f"# users\n{line}\n")
    settings = WebSettings(web_database_url=database_url, web_login="basic", web_users_file=path)
    with pytest.raises(SettingsError, match=r"users: line 2 is no NAME:HASH") as refused:
        create_app(settings)
    assert "secret" not in str(refused.value)


def test_a_proxy_names_the_user_and_the_groups(make_client: MakeClient) -> None:
    client = make_client(
        web_login="proxy", web_trusted_proxies="127.0.0.0/8", web_readers="kim,group:support"
    )
    assert client.get("/").status_code == 401
    for headers in (
        {"X-Forwarded-User": "kim"},
        {"X-Forwarded-User": "lee", "X-Forwarded-Groups": "sales, support"},
    ):
        page = client.get("/", headers=headers)
        assert page.status_code == 200
        assert logged_in(page) == headers["X-Forwarded-User"]
    stranger = client.get("/", headers={"X-Forwarded-User": "lee", "X-Forwarded-Groups": "kim"})
    assert (stranger.status_code, "may not look" in stranger.text) == (403, True)
    twice = client.get("/", headers=[("X-Forwarded-User", "kim"), ("X-Forwarded-User", "lee")])
    assert twice.status_code == 401


def test_only_the_proxy_is_believed(make_client: MakeClient) -> None:
    client = make_client(web_login="proxy", web_trusted_proxies="10.0.0.0/8,::1")
    said = {"X-Forwarded-User": "kim", "X-Forwarded-For": "10.0.0.1"}
    refused = client.get("/api/events", headers=said)
    assert (refused.status_code, "DELIVERY_WEB_TRUSTED_PROXIES" in refused.text) == (403, True)
    assert client.get("/healthz").status_code == 200


def test_the_headers_names_may_be_others(make_client: MakeClient) -> None:
    client = make_client(
        web_login="proxy", web_trusted_proxies="127.0.0.1", web_user_header="Remote-User"
    )
    assert client.get("/", headers={"Remote-User": "kim"}).status_code == 200
    assert client.get("/", headers={"X-Forwarded-User": "kim"}).status_code == 401


def test_pages_of_others_can_not_send_our_forms(
    make_client: MakeClient, users: Path, connection: Connection
) -> None:
    every_outcome.fill(connection)
    client = make_client(web_login="basic", web_users_file=users)
    auth = BasicAuth("lee", "s3:cret")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        refused = client.post("/", auth=auth, headers=headers)
        assert (refused.status_code, "another site" in refused.text) == (403, True)
    own = {"Origin": str(client.base_url)}
    assert client.post("/", auth=auth, headers=own).status_code == 405


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"web_login": "basic"}, "DELIVERY_WEB_USERS_FILE"),
        ({"web_login": "proxy"}, "DELIVERY_WEB_TRUSTED_PROXIES"),
    ],
)
def test_half_a_login_is_refused(settings: dict[str, str], missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        WebSettings(**settings)


def test_a_service_without_a_login_imports_nothing_of_it() -> None:
    code = """
import sys
from delivery.settings import WebSettings
from delivery.web.app import create_app
create_app(WebSettings(database_url="postgresql://reader@db/delivery"))
assert not [name for name in sys.modules if name.startswith(("delivery.web.login", "bcrypt"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
