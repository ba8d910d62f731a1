"""Schedules: what they may be, how they travel, and the default."""

from __future__ import annotations

from collections import Counter

import pytest

from contracts.errors import InvalidInput
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekday, Weekly, default_schedule, time_of_day
from contracts.policy.schedule_text import parse_schedule, spell_schedule
from contracts.wire import Decoder, encode

ALL: list[tuple[str, Schedule, bytes]] = [
    ("off", Off(), b'{"kind":"off"}'),
    ("daily 00:30", Daily(at="00:30"), b'{"kind":"daily","at":"00:30"}'),
    ("daily 00:37:12", Daily(at="00:37:12"), b'{"kind":"daily","at":"00:37:12"}'),
    (
        "weekly sunday 03:00",
        Weekly(day=Weekday.SUNDAY, at="03:00"),
        b'{"kind":"weekly","day":"sunday","at":"03:00"}',
    ),
    ("monthly 31 23:59", Monthly(day=31, at="23:59"), b'{"kind":"monthly","day":31,"at":"23:59"}'),
    ("*/10 0-6 * * mon", Cron(expression="*/10 0-6 * * mon"), b'{"kind":"cron","expression":"*/10 0-6 * * mon"}'),
]
decoder: Decoder[Schedule] = Decoder(Schedule)


@pytest.mark.parametrize(("text", "schedule", "wire"), ALL, ids=[text for text, _, _ in ALL])
def test_each_is_written_by_people_and_programs(text: str, schedule: Schedule, wire: bytes) -> None:
    assert parse_schedule(text) == schedule
    assert spell_schedule(schedule) == text
    assert encode(schedule) == wire
    assert decoder.decode(wire) == schedule


def test_people_may_shorten_days() -> None:
    assert parse_schedule(" Weekly  SUN 03:00 ") == Weekly(day=Weekday.SUNDAY, at="03:00")
    assert [Weekday.MONDAY.iso, Weekday.SUNDAY.iso] == [1, 7]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "schedule"),
        ("daily", "schedule"),
        ("off 00:30", "schedule"),
        ("weekly 03:00", "schedule"),
        ("daily 24:00", "schedule.at"),
        ("daily 0:30", "schedule.at"),
        ("daily 00:60", "schedule.at"),
        ("daily 00:30:60", "schedule.at"),
        ("weekly someday 03:00", "schedule.day"),
        ("weekly s 03:00", "schedule.day"),
        ("monthly 0 03:00", "schedule.day"),
        ("monthly 32 03:00", "schedule.day"),
        ("monthly last 03:00", "schedule.day"),
        ("monthly ² 03:00", "schedule.day"),
        ("hourly", "schedule.expression"),
        ("0 0 30 2 *", "schedule.expression"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_schedule(text)
    assert caught.value.code == "input.invalid"
    assert caught.value.field == field


@pytest.mark.parametrize(
    "wire",
    [
        b'{"kind":"daily","at":"25:00"}',
        b'{"kind":"daily"}',
        b'{"kind":"hourly"}',
        b'{"kind":"weekly","day":"someday","at":"00:00"}',
        b'{"kind":"monthly","day":32,"at":"00:00"}',
        b'{"kind":"monthly","day":"1","at":"00:00"}',
        b'{"kind":"cron","expression":"@daily"}',
        b'{"kind":"cron","expression":"0 0 0 * * *"}',
    ],
)
def test_nothing_invalid_comes_over_the_wire(wire: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoder.decode(wire)
    assert caught.value.code == "input.invalid"


def test_the_default_is_stable_and_in_the_first_hour() -> None:
    assert default_schedule("acme", "orders") == default_schedule("acme", "orders")
    # Kept: a service must not move when the program is updated.
    assert default_schedule("acme", "orders") == Daily(at="00:48:03")
    assert default_schedule("acme", "orders") != default_schedule("orders", "acme")


def test_the_default_is_spread_evenly_over_the_hour() -> None:
    """Chi-squared over the 60 minutes, and no second that many services share."""
    count = 20_000
    times = [time_of_day(default_schedule(f"project-{n % 700}", f"db-{n}").at) for n in range(count)]
    assert all(time.hour == 0 for time in times)
    expected = count / 60
    minutes = Counter(time.minute for time in times)
    assert sum((minutes[minute] - expected) ** 2 / expected for minute in range(60)) < 100
    assert max(Counter(times).values()) < 25
    assert len(set(times)) > 3500
