"""Whether `delivery serve` itself is healthy and ready, for supervisors and load balancers."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from delivery.errors import NotMigratedError, UnavailableError
from delivery.postgres import database
from delivery.postgres.database import Connection
from delivery.web.api import problems
from delivery.web.pool import reading

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It is healthy, or ready."""

    ok: bool = True


@router.get("/healthz")
def get_health() -> Health:
    """Whether the process answers. It asks nobody else: a database's outage is no reason to end."""
    return Health()


@router.get("/readyz", responses=problems.documented(503))
def get_readiness(connection: Annotated[Connection, Depends(reading, scope="function")]) -> Health:
    """Whether the database answers and has the schema of this version."""
    try:
        database.require_migrated(connection)
    except NotMigratedError as error:
        raise UnavailableError(str(error)) from error
    return Health()
