"""Settings come from a folder of files, too: a container's secrets."""

from pathlib import Path

import pytest

from delivery.errors import SettingsError
from delivery.settings import DatabaseSettings, KafkaSettings, load


@pytest.fixture(autouse=True)
def _only_what_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DELIVERY_KAFKA_TOPIC", raising=False)
    monkeypatch.setenv("DELIVERY_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")


@pytest.mark.parametrize("name", ["DELIVERY_DATABASE_URL", "delivery_database_url"])
def test_a_setting_may_be_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("postgresql://u:secret@h/d\n")
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("DELIVERY_DATABASE_URL", raising=False)
    url = load(DatabaseSettings).database_url.get_secret_value()
    assert url == "postgresql://u:secret@h/d"


def test_the_environment_goes_before_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "DELIVERY_KAFKA_TOPIC").write_text("of-the-file")
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path))
    assert load(KafkaSettings).kafka_topic == "of-the-file"
    monkeypatch.setenv("DELIVERY_KAFKA_TOPIC", "of-the-environment")
    assert load(KafkaSettings).kafka_topic == "of-the-environment"


def test_a_folder_of_secrets_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match=r"^DELIVERY_SECRETS_DIR is no folder: [^\n]*$"):
        load(KafkaSettings)
