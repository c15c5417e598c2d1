"""Domain time. Every event time, hold, schedule and label delay comes from a `Clock` passed in.

Times are int microseconds since the Unix epoch in UTC (fields `..._at`), durations int microseconds (fields
`..._us`). Leases, time-outs and tokens never use this clock: they use `time.monotonic`.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from holdfast.base.errors import InvalidError

Micros = int

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_UNITS = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells domain time."""

    simulated: bool

    def now(self) -> Micros:
        """Microseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    simulated = False

    def now(self) -> Micros:
        return time.time_ns() // 1000


class SimulatedClock:
    """A clock that moves only when told, and never backwards.

    Example:
        >>> clock = SimulatedClock(parse_time("2011-07-01T00:00:00Z"))
        >>> clock.advance(clock.now() + HOUR_US)
        >>> format_time(clock.now())
        '2011-07-01T01:00:00Z'
    """

    simulated = True

    def __init__(self, start_at: Micros) -> None:
        self._now = start_at
        self._lock = threading.Lock()

    def now(self) -> Micros:
        return self._now

    def advance(self, to: Micros) -> None:
        """Moves to `to`; an earlier time is ignored, so that a repeated call does no harm."""
        with self._lock:
            self._now = max(self._now, to)


def duration(text: str | timedelta) -> int:
    """Microseconds of a duration such as `30s`, `15m`, `1h`, `7d`, `2w`.

    Raises:
        InvalidError: when the text is not a number followed by one of s, m, h, d, w.

    Example:
        >>> duration("1h") == HOUR_US
        True
    """
    if isinstance(text, timedelta):
        return int(text.total_seconds() * SECOND_US)
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidError(
            f"{text!r} is not a duration", hint="write a number and a unit: 30s, 15m, 1h, 7d or 2w"
        )
    return int(float(match[1]) * _UNITS[match[2]])


def format_duration(microseconds: int) -> str:
    """The largest whole unit: `7d`, `90m`, `1.5s`."""
    for unit in ("d", "h", "m", "s"):
        if microseconds and microseconds % _UNITS[unit] == 0:
            return f"{microseconds // _UNITS[unit]}{unit}"
    return f"{microseconds / SECOND_US:g}s"


def parse_time(text: str) -> Micros:
    """Microseconds of an ISO 8601 time; without an offset it is UTC.

    Raises:
        InvalidError: when the text is not an ISO 8601 date or time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise InvalidError(
            f"{text!r} is not an ISO 8601 time", hint="write it like 2012-01-01T07:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def format_time(at: Micros) -> str:
    """ISO 8601 in UTC, with fractions only where there are some."""
    return to_datetime(at).isoformat().replace("+00:00", "Z")


def to_datetime(at: Micros) -> datetime:
    """The same instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)
