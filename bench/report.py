"""One measured figure, and how it is printed."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """A figure beside the floor of the same run.

    `floor` is what the plainest program of the best library needs for the same work; None where nothing
    comparable exists. `ratio` is value / floor. `aim` is what was promised, `limit` what limits the figure.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    aim: str = ""
    limit: str = ""


def figure(
    name: str, value: float, unit: str, floor: float | None = None, *, aim: str = "", limit: str = ""
) -> Figure:
    """A figure with its ratio, in three significant digits.

    Example:
        >>> figure("import holdfast", 12.3456, "ms", 10.0).ratio
        1.23
    """
    ratio = value / floor if floor else None
    return Figure(name, _rounded(value), unit, _maybe(floor), _maybe(ratio), aim, limit)


def as_json(found: Figure) -> str:
    """One line of `--json`."""
    return msgspec.json.encode(found).decode()


def as_text(found: Figure) -> str:
    """One block for people."""
    floor = "" if found.floor is None else f"   floor {found.floor:g} {found.unit}, ratio {found.ratio:g}"
    aim = f"   aim {found.aim}" if found.aim else ""
    first = f"{found.name:<52} {found.value:>9g} {found.unit}{floor}{aim}"
    return f"{first}\n    {found.limit}" if found.limit else first


def _maybe(value: float | None) -> float | None:
    return None if value is None else _rounded(value)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))
