"""A database's URL, which knows the setting that it came from: a refusal names what to change."""

from pydantic import SecretStr

USUAL = "DELIVERY_DATABASE_URL"


class DatabaseUrl(SecretStr):
    """A URL as libpq takes it, and the name of its setting."""

    def __init__(self, url: str, setting: str) -> None:
        super().__init__(url)
        self.setting = setting


def setting_of(url: SecretStr) -> str:
    """The setting to change where this URL is wrong."""
    return url.setting if isinstance(url, DatabaseUrl) else USUAL
