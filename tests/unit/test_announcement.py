"""An announcement's bytes, as the service before wrote them with Spring and Jackson."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from delivery.announce.wire import Row, TimeFormat, Wire

SEOUL = ZoneInfo("Asia/Seoul")
DECIDED = datetime(2025, 12, 31, 15, 1, 14, 254000, UTC)  # a minute past midnight in Seoul
EVENT_TIME = datetime(2025, 12, 31, 15, 0, 0, 1, UTC)
ROW = Row(DECIDED, 1001, EVENT_TIME)


def wire(time_format: TimeFormat = "array", **words: str) -> Wire:
    named = {"event_type": "a.DeliveryCreateEvent", "type_id": "a.Envelope", "status": "pending"}
    return Wire(SEOUL, time_format, **(named | words))


def test_it_is_this_to_the_byte() -> None:
    assert wire().announcement(ROW) == (
        b"1001",
        b'{"event":{"deliveryId":1001,"status":"pending","deliveryAddress":null,'
        b'"recipientName":null,"recipientSnsId":null,"orderId":1001,"originHubId":null,'
        b'"destinationHubId":null,"createdAt":[2026,1,1,0,1,14,254000000]},'
        b'"eventId":"0286805f-ab8c-5b92-8227-ca2c929a87cc",'
        b'"createdAt":[2026,1,1,0,1,14,254000000],"eventType":"a.DeliveryCreateEvent",'
        b'"source":"deliveryService.createDelivery"}',
    )


def test_the_class_that_it_is_read_into_is_a_header() -> None:
    assert wire().headers == [("__TypeId__", b"a.Envelope")]


def test_the_words_of_settings_are_written_as_json() -> None:
    (_, value) = wire(status='"\\배송', event_type="a$B").announcement(ROW)
    assert '"status":"\\"\\\\배송",'.encode() in value
    assert b'"eventType":"a$B",' in value


@pytest.mark.parametrize(
    ("time", "array", "iso"),
    [
        ((1, 14, 254000), "[2026,1,1,0,1,14,254000000]", '"2026-01-01T00:01:14.254"'),
        ((1, 14, 1), "[2026,1,1,0,1,14,1000]", '"2026-01-01T00:01:14.000001"'),
        ((1, 14, 0), "[2026,1,1,0,1,14]", '"2026-01-01T00:01:14"'),
        ((1, 0, 0), "[2026,1,1,0,1]", '"2026-01-01T00:01:00"'),
        ((1, 0, 500000), "[2026,1,1,0,1,0,500000000]", '"2026-01-01T00:01:00.5"'),
        ((0, 0, 0), "[2026,1,1,0,0]", '"2026-01-01T00:00:00"'),
        ((10, 20, 0), "[2026,1,1,0,10,20]", '"2026-01-01T00:10:20"'),
    ],
)
def test_a_time_is_local_and_ends_without_zeros_as_jackson_writes_it(
    time: tuple[int, int, int], array: str, iso: str
) -> None:
    minute, second, microsecond = time
    decided = datetime(2025, 12, 31, 15, minute, second, microsecond, UTC)
    row = ROW._replace(consumed_at=decided)
    for time_format, written in (("array", array), ("iso", iso)):
        value = wire(time_format).announcement(row).value.decode()
        assert value.count(f'"createdAt":{written}') == 2


def test_the_same_event_has_the_same_id_for_ever_and_another_one_another() -> None:
    assert ROW.event_id == UUID("0286805f-ab8c-5b92-8227-ca2c929a87cc")
    assert ROW.event_id.version == 5
    assert ROW._replace(consumed_at=EVENT_TIME).event_id == ROW.event_id
    assert ROW._replace(event_time=EVENT_TIME.astimezone(SEOUL)).event_id == ROW.event_id
    others = {ROW._replace(order_id=1002), ROW._replace(event_time=DECIDED)}
    assert ROW.event_id not in {other.event_id for other in others}
