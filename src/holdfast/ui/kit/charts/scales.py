"""Axes: round ticks for values, calendar ticks for times, and the mapping to the plot."""

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.ui.kit.format import plain_number, si, utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_MONDAY_US = 4 * _DAY_US
_STEPS_US = (
    *(step * 1_000 for step in (1, 5, 20, 100, 250)),
    *(step * _SECOND_US for step in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200)),
    *(step * _DAY_US for step in (1, 2, 7, 14)),
)
_STEPS_MONTHS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
_MONTH_US = 30.44 * _DAY_US
_LEAST_RELATIVE_RANGE = 0.02
_FILLING_ZEROS = re.compile(r"\.?0+×")


class Tick(msgspec.Struct, frozen=True):
    """One tick: where it is and what it says."""

    value: float
    label: str


class Scale(msgspec.Struct, frozen=True):
    """A linear mapping of [low, high] to 0..1."""

    low: float
    high: float

    def fraction(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)

    def clamped(self, value: float) -> float:
        """Return the fraction, kept within 0..1."""
        return min(max(self.fraction(value), 0.0), 1.0)


class LogScale(Scale, frozen=True):
    """A logarithmic mapping of [low, high], both above zero, to 0..1."""

    def fraction(self, value: float) -> float:
        """Return where a value above zero lies: 0 at the low end, 1 at the high end."""
        low, high = math.log10(self.low), math.log10(self.high)
        return (math.log10(value) - low) / (high - low)


def finite(values: Iterable[float | None]) -> list[float]:
    """Return the values that can be drawn."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def nice_step(span: float, count: int) -> float:
    """Return the largest of 1, 2, 2.5 or 5 times a power of ten that gives at least about `count` steps."""
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)


def value_axis(values: list[float], *, zero: bool | None = None, count: int = 5) -> tuple[Scale, list[Tick]]:
    """Return scale and ticks that hold all values.

    `zero=True` always includes zero (bars), False never forces it, and None includes it unless that would
    squeeze the values into the upper half. The range is never less than 2% of the values' size, so that
    rounding noise does not look like a landslide.
    """
    low, high = min(values), max(values)
    if zero or (zero is None and ((low > 0 and low < 0.5 * high) or (high < 0 and high > 0.5 * low))):
        low, high = min(low, 0.0), max(high, 0.0)
    least = max(abs(low), abs(high)) * _LEAST_RELATIVE_RANGE or 1.0
    if high - low < least:
        middle = (low + high) / 2
        low, high = (min(low, 0.0), max(high, least)) if zero else (middle - least / 2, middle + least / 2)
    step = nice_step(high - low, count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [index * step for index in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1]), [Tick(value, axis_label(value, step)) for value in ticks]


def log_axis(values: list[float], count: int = 5) -> tuple[Scale, list[Tick]]:
    """Return a logarithmic scale and ticks that hold all values, which must be above zero.

    Ticks are powers of ten; over less than two decades also 2 and 5 times those.
    """
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    factors = (1, 2, 5) if high - low <= 2 else (1,)
    every = max(1, math.ceil((high - low) / count))
    powers = range(low, high + 1, every)
    marks = [factor * 10.0**power for power in powers for factor in factors]
    top = 10.0 ** max(high, powers[-1])
    ticks = [Tick(mark, _compact(mark)) for mark in marks if mark <= top * 1.000001]
    return LogScale(10.0**low, top), ticks


def _compact(value: float) -> str:
    """A number as short as a tick needs it: `5×10⁻⁵`, where a table would fill up with zeros."""
    return _FILLING_ZEROS.sub("×", plain_number(value, 3))


def axis_label(value: float, step: float) -> str:
    """Write a value tick with just the decimals its step needs."""
    if abs(value) < step * 1e-6:
        return "0"
    if abs(value) >= 10_000:
        return si(value, digits=max(3, math.ceil(math.log10(abs(value) / step)) + 1))
    if step < 1e-4:
        return _compact(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += 0 if math.isclose(step * 10**decimals, round(step * 10**decimals)) else 1
    return f"{value:,.{decimals}f}".replace("-", "−")


def number_axis(low: float, high: float, count: int = 6) -> tuple[Scale, list[Tick]]:
    """Return the scale of a numeric axis across, which ends where the data ends, and its ticks."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = nice_step(high - low, count)
    indices = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return Scale(low, high), [Tick(index * step, axis_label(index * step, step)) for index in indices]


def time_axis(low_at: float, high_at: float, count: int = 7) -> tuple[Scale, list[Tick]]:
    """Return the scale of a time axis, which ends where the data ends, and its calendar ticks (UTC)."""
    if low_at == high_at:
        low_at, high_at = low_at - _SECOND_US, high_at + _SECOND_US
    scale, span_us = Scale(low_at, high_at), high_at - low_at
    step_us = next((step for step in _STEPS_US if span_us / step <= count), None)
    if step_us is not None:
        return scale, _clock_ticks(low_at, high_at, step_us)
    months = next((step for step in _STEPS_MONTHS if span_us / (step * _MONTH_US) <= count), 2400)
    return scale, _month_ticks(low_at, high_at, months)


def _clock_ticks(low_at: float, high_at: float, step_us: int) -> list[Tick]:
    # Weeks start on Monday; every other step divides the day and starts at the epoch.
    offset_us = _MONDAY_US if step_us % (7 * _DAY_US) == 0 else 0
    first = math.ceil((low_at - offset_us) / step_us)
    last = math.floor((high_at - offset_us) / step_us)
    times = [index * step_us + offset_us for index in range(first, last + 1)]
    label = _clock_label(step_us)
    return [Tick(at, label(utc(at), place == 0)) for place, at in enumerate(times)]


def _clock_label(step_us: int) -> Callable[[datetime, bool], str]:
    def label(time: datetime, first: bool) -> str:
        midnight = time == time.replace(hour=0, minute=0, second=0, microsecond=0)
        if midnight and (first or (time.month == 1 and time.day == 1)):
            return f"{time.day} {time:%b %Y}"
        if midnight:
            return f"{time.day} {time:%b}"
        if step_us < _SECOND_US:
            return f"{time:%H:%M:%S}.{time.microsecond // 1000:03d}"
        return f"{time:%H:%M:%S}" if step_us < 60 * _SECOND_US else f"{time:%H:%M}"

    return label


def _month_ticks(low_at: float, high_at: float, months: int) -> list[Tick]:
    start, end = utc(int(low_at)), utc(int(high_at))
    place = -(-(start.year * 12 + start.month - 1) // months) * months
    ticks: list[Tick] = []
    while place // 12 <= min(end.year, 9998):
        time = datetime(max(place // 12, 1), place % 12 + 1, 1, tzinfo=UTC)
        at = (time - _EPOCH) // timedelta(microseconds=1)
        if low_at <= at <= high_at:
            ticks.append(Tick(at, _month_label(time, not ticks)))
        place += months
    return ticks


def _month_label(time: datetime, first: bool) -> str:
    if time.month == 1:
        return f"{time:%Y}"
    return f"{time:%b %Y}" if first else f"{time:%b}"
