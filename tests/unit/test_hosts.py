"""By which names the pages may be called."""

import pytest

from delivery import settings
from delivery.errors import SettingsError
from delivery.settings import WebSettings
from delivery.web.hosts import is_allowed

NAMES = ("delivery.example.com", "*.internal")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "10.0.0.7:80", "[::1]:8080", "[fe80::1]", "localhost",
     "LOCALHOST:8080", "app.localhost", "delivery.example.com", "Delivery.Example.COM:443",
     "delivery.example.com.", "a.internal", "a.b.internal:80"],
)  # fmt: skip
def test_addresses_localhost_and_names_that_were_set_are_allowed(host: str) -> None:
    assert is_allowed(host, NAMES)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "example.com", "x.delivery.example.com", "delivery.example.com.evil.example",
     "internal", "xinternal", "127.0.0.1.evil.example", "127.0.0.1.nip.io", "localhost.example",
     "evil.example:localhost", "localhost@evil.example", "", ":8080", "[evil.example]", "a b", "\0",
     "1.2.3", "0x7f000001.evil"],
)  # fmt: skip
def test_every_other_name_is_refused(host: str) -> None:
    assert not is_allowed(host, NAMES)
    assert is_allowed(host, ["*"]) == (host not in {"evil.example:localhost", "[evil.example]"})


def test_the_setting_has_names_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELIVERY_WEB_ALLOWED_HOSTS", "Delivery.example.com., *.internal,pod-1")
    names = settings.load(WebSettings).web_allowed_hosts
    assert names == ("delivery.example.com", "*.internal", "pod-1")


@pytest.mark.parametrize("value", ["a:80", "http://a", "a,,b", "*.", "*a", "a.*", "a b", "문"])
def test_what_is_no_name_is_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DELIVERY_WEB_ALLOWED_HOSTS", value)
    with pytest.raises(SettingsError, match=r"^DELIVERY_WEB_ALLOWED_HOSTS must be names such as"):
        settings.load(WebSettings)
