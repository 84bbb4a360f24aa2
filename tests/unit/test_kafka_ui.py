"""The link from a record's coordinates to somebody's user interface for Kafka."""

import pytest

from delivery import settings
from delivery.errors import SettingsError
from delivery.settings import WebSettings
from delivery.web.pages import kafka_ui

ROW = {"record_topic": "Order Events/1", "record_partition": 3, "record_offset": 1234}
TEMPLATE = "https://ui.example/topics/{topic}?p={partition}&s={offset}#messages"


def test_the_coordinates_stand_where_the_template_says_and_change_nothing_else_of_it() -> None:
    link = kafka_ui.link(TEMPLATE, ROW)
    assert link == "https://ui.example/topics/Order%20Events%2F1?p=3&s=1234#messages"


def test_without_a_template_and_for_an_imported_row_there_is_no_link() -> None:
    assert kafka_ui.link(None, ROW) is None
    assert kafka_ui.link(TEMPLATE, ROW | {"record_topic": "import:old"}) is None


@pytest.mark.parametrize("given", [TEMPLATE, "http://10.0.0.1:8080/ui/{topic}/{topic}"])
def test_a_template_with_the_topic_in_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("DELIVERY_WEB_KAFKA_UI_URL", given)
    assert settings.load(WebSettings).web_kafka_ui_url == given


@pytest.mark.parametrize(
    "given",
    [
        "https://ui.example/",
        "https://ui.example/{partition}/{offset}",
        "https://ui.example/{topic}/{offset!r}",
        "https://ui.example/{topic}/{key}",
        "https://ui.example/{topic}/{",
        "https://ui.example/{topic} x",
        "javascript:alert('{topic}')",
        "{topic}",
    ],
)
def test_another_one_is_refused_with_how_it_is_written(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("DELIVERY_WEB_KAFKA_UI_URL", given)
    with pytest.raises(SettingsError, match=r"DELIVERY_WEB_KAFKA_UI_URL must be an address with"):
        settings.load(WebSettings)
