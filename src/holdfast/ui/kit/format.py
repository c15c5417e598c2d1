"""How numbers, durations, times, sizes and ids are written on every page.

Pure functions: the time "now" is always given. A missing value is an en dash, never an empty cell, so that
a reader can tell "not there" from "not shown".
"""

import math
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

MISSING = "–"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUS = "−"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_RELATIVE_LIMIT_US = 60 * _DAY_US
_SHORTENED_AFTER = 4


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` significant digits and thousands separators.

    Integers keep all their digits; a float of 1,000 or more is rounded to a whole number.

    >>> number(1234.567), number(0.012345), number(12)
    ('1,235', '0.0123', '12')
    """
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}".replace("-", _MINUS)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    return _significant(value, digits).replace("-", _MINUS)


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent >= 15 or exponent < -4:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}×10{str(int(power)).translate(_SUPERSCRIPT)}"
    decimals = max(0, digits - 1 - exponent)
    return f"{rounded:,.{decimals}f}" if decimals else f"{value:,.0f}"


def si(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Write a number with an SI prefix, as in `12.3 k` or `1.2 Mreq/s`.

    >>> si(12345), si(999)
    ('12.3 k', '999')
    """
    if value is None:
        return MISSING
    if not math.isfinite(value) or abs(value) < 1000:
        return f"{number(value, digits)} {unit}".rstrip()
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995 or prefix == "k":
            return f"{_plain(value / factor, digits)} {prefix}{unit}"
    raise AssertionError("every magnitude of 1000 or more has a prefix")


def _plain(value: float, digits: int) -> str:
    """Significant digits without the zeros that only fill up."""
    text = number(float(value), digits)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def plain_number(value: float | None, digits: int = 3) -> str:
    """Like `number`, without trailing zeros; for axis labels and thresholds."""
    return MISSING if value is None else _plain(float(value), digits)


def percent(share: float | None, digits: int = 3) -> str:
    """Write a share in 0..1 as a percentage.

    >>> percent(0.1234), percent(1.0), percent(0.00004)
    ('12.3%', '100%', '0.004%')
    """
    return MISSING if share is None else f"{_plain(share * 100, digits)}%"


def size(count: int | None) -> str:
    """Write a number of bytes in binary units.

    >>> size(512), size(1536), size(5 * 1024**3)
    ('512 B', '1.5 KiB', '5 GiB')
    """
    if count is None:
        return MISSING
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{_plain(value, 3)} {unit}"


def duration(duration_us: int | None) -> str:
    """Write a duration in microseconds in its two largest useful units.

    >>> duration(850), duration(12_300), duration(200_000_000), duration(273_600_000_000)
    ('850 µs', '12.3 ms', '3 min 20 s', '3 d 4 h')
    """
    if duration_us is None:
        return MISSING
    sign, us = (_MINUS, -duration_us) if duration_us < 0 else ("", duration_us)
    if us == 0:
        return "0 s"
    if us < 1_000:
        return f"{sign}{us} µs"
    if us < 999_500:
        return f"{sign}{_plain(us / 1_000, 3)} ms"
    if us < _MINUTE_US:
        return f"{sign}{_plain(us / _SECOND_US, 3)} s"
    for large_us, large, small_us, small in (
        (_DAY_US, "d", _HOUR_US, "h"),
        (_HOUR_US, "h", _MINUTE_US, "min"),
        (_MINUTE_US, "min", _SECOND_US, "s"),
    ):
        if us >= large_us:
            return sign + _two_units(us, large_us, large, small_us, small)
    raise AssertionError("every duration of a minute or more has a unit")


def _two_units(us: int, large_us: int, large: str, small_us: int, small: str) -> str:
    whole, rest = divmod(us, large_us)
    rest //= small_us
    return f"{whole:,} {large} {rest} {small}" if rest else f"{whole:,} {large}"


def utc(at: int) -> datetime:
    """Turn microseconds since the Unix epoch into a UTC datetime; far-off values are clamped to its range."""
    lowest, highest = -62_135_596_800 * _SECOND_US, 253_402_300_799 * _SECOND_US
    return _EPOCH + timedelta(microseconds=min(max(at, lowest), highest))


def absolute_time(at: int | None, *, seconds: bool = True) -> str:
    """Write a time as `2012-03-04 05:06:07 UTC`; the zone is always said."""
    if at is None:
        return MISSING
    return utc(at).strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def day(at: int | None) -> str:
    """Write a date as `4 Mar 2012`."""
    return MISSING if at is None else f"{utc(at).day} {utc(at):%b %Y}"


def relative_time(at: int | None, now_at: int) -> str:
    """Write a time as the distance from `now_at`; further away than 60 days it is the date.

    >>> relative_time(0, 3 * 3_600_000_000)
    '3 h ago'
    """
    if at is None:
        return MISSING
    distance_us = abs(now_at - at)
    if distance_us < 2 * _SECOND_US:
        return "just now"
    if distance_us >= _RELATIVE_LIMIT_US:
        return day(at)
    unit_us, unit = next(
        (us, name)
        for us, name in ((_DAY_US, "d"), (_HOUR_US, "h"), (_MINUTE_US, "min"), (_SECOND_US, "s"))
        if distance_us >= us
    )
    text = f"{distance_us // unit_us} {unit}"
    return f"{text} ago" if at <= now_at else f"in {text}"


def time_tag(at: int | None, now_at: int) -> Markup:
    """Return a `<time>` element: relative to read, absolute as tooltip and for machines."""
    if at is None:
        return Markup(MISSING)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc(at).strftime("%Y-%m-%dT%H:%M:%SZ"), absolute_time(at), relative_time(at, now_at)
    )


def copy_button(text: str, label: str = "Copy") -> Markup:
    """Return the button that copies `text`; it shows only where the script runs."""
    return Markup(
        '<button type="button" class="copy js-only" data-copy="{}" aria-label="{}" title="{}">'
        '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M5.5 5.500v-3h8v8h-3m-8-5h8v8h-8z"/></svg>'
        "</button>"
    ).format(text, f"{label}: {text}", label)


def short_id(identifier: str | None, length: int = 12) -> Markup:
    """Shorten a long id for a table, with the whole one as tooltip and behind the copy button.

    The prefix up to the last `/` (the kind in a URN) is kept, because it says what the id names.
    """
    if not identifier:
        return Markup(MISSING)
    head, slash, tail = identifier.rpartition("/")
    shown = tail if len(tail) <= length + _SHORTENED_AFTER else f"{tail[:length]}…"
    return Markup('<span class="id"><code title="{}">{}</code>{}</span>').format(
        identifier, f"{head}{slash}{shown}", copy_button(identifier)
    )


def code_block(text: str) -> Markup:
    """Return a block of code with a copy button.

    Lines that start with `$ ` are commands: their prompt is drawn, but neither selected nor copied.
    """
    lines = text.strip().splitlines()
    prompt = Markup('<span class="prompt">$ </span>')
    drawn = [prompt + line[2:] if line.startswith("$ ") else Markup("{}").format(line) for line in lines]
    return Markup('<div class="code"><pre><code>{}</code></pre>{}</div>').format(
        Markup("\n").join(drawn), copy_button("\n".join(line.removeprefix("$ ") for line in lines))
    )
