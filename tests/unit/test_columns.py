"""The columns of a delivery stand in several places, and all of them say the same."""

from typing import get_args

from psycopg.postgres import types
from sqlalchemy.dialects import postgresql

from delivery.domain.event import DELIVERY_COLUMNS
from delivery.postgres.columns import DELIVERY
from delivery.postgres.tables import deliveries
from delivery.web.api import models
from delivery.web.masking import PERSONAL_COLUMNS


def test_the_columns_of_an_event_are_those_that_are_written() -> None:
    assert tuple(DELIVERY) == DELIVERY_COLUMNS


def test_their_types_are_those_of_the_table() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for name, kind in DELIVERY.items():
        written = types[kind].regtype.upper()
        assert deliveries.c[name].type.compile(dialect) == written, name


def test_the_api_answers_each_of_them() -> None:
    assert set(DELIVERY) <= set(models.Delivery.model_fields)


def test_the_api_can_answer_a_mask_for_each_that_is_personal() -> None:
    for name in PERSONAL_COLUMNS:
        assert models.Masked in get_args(models.Delivery.model_fields[name].annotation), name
