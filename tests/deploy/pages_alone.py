"""`delivery serve` without a socket and without a database."""

import anyio
import httpx

from delivery import settings
from delivery.web.app import create_app


def status(path: str) -> int:
    """The status of `delivery serve` for that path, while it has no database."""
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    app = create_app(settings.WebSettings(web_database_url=url))

    async def answer() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            return (await client.get(path)).status_code

    return anyio.run(answer)
