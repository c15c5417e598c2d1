"""Writing SVG: one element at a time, everything escaped, always well-formed XML."""

import hashlib
import re
from collections.abc import Iterable

import msgspec
from markupsafe import Markup, escape

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
CHARACTER_PX = 6.3
"""Mean width of a character at the 11 px of chart labels; only used to keep labels apart."""

ASSUMED_WIDTH_PX = 640
"""Width of a wide plot, to judge on the server which labels fit."""


def clean(text: str) -> str:
    """Replace characters that no XML document may contain."""
    return _NOT_XML.sub("\ufffd", text)


def compact(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def across(fraction: float) -> str:
    """Write a position across the plot, 0 to 1, as a percentage."""
    return f"{compact(fraction * 100)}%"


def element(name: str, *children: str, **attributes: object) -> Markup:
    """Build one element.

    `class_` is class, other underscores become hyphens, None leaves an attribute out, floats are written
    compactly, and text is escaped unless it is Markup.
    """
    parts = [Markup("<{}").format(Markup(name))]
    for key, value in attributes.items():
        if value is None:
            continue
        text = compact(value) if isinstance(value, float) else clean(str(value))
        parts.append(Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), str(text)))
    inner = join(children)
    parts.append(Markup(">") + inner + Markup("</{}>").format(Markup(name)) if inner else Markup("/>"))
    return Markup("").join(parts)


def join(children: Iterable[str]) -> Markup:
    """Concatenate text and Markup, escaping the text."""
    return Markup("").join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)


def html(name: str, *children: str, **attributes: object) -> Markup:
    """Build an HTML element that also parses as XML: never self-closing."""
    built = element(name, *children, **attributes)
    return built if any(children) else Markup(f"{built[:-2]}></{name}>")


def shortened(text: str, length: int) -> str:
    """Cut text for a label of limited width."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


class Readout(msgspec.Struct, frozen=True):
    """One line's hover data: formatted values and heights (0 top, 1 bottom; None is a gap)."""

    name: str
    colour: int
    text: tuple[str | None, ...]
    y: tuple[float | None, ...]


class Hover(msgspec.Struct, frozen=True):
    """What the script shows while the pointer or the arrow keys move over a chart."""

    x: tuple[float, ...]
    labels: tuple[str, ...]
    series: tuple[Readout, ...]
    notes: dict[int, str] = {}


def picture(
    title: str,
    description: str,
    height: int,
    content: Iterable[str],
    hover: Hover | None = None,
    *,
    natural_width: int | None = None,
) -> Markup:
    """Wrap chart content into the SVG with its accessible title and description.

    It fills its container, unless it has a natural width; such a picture holds links and is therefore a
    group to a screen reader, not a mere image.
    """
    body = join(content)
    key = hashlib.sha256(f"{title}{description}{body}".encode()).hexdigest()[:10]
    svg = element(
        "svg",
        element("title", title, id=f"t{key}"),
        element("desc", description, id=f"d{key}"),
        body,
        width=natural_width or "100%",
        height=height,
        role="group" if natural_width else "img",
        aria_labelledby=f"t{key} d{key}",
        class_="plot",
    )
    data = msgspec.json.encode(hover).decode() if hover else None
    return html("div", html("div", svg, class_="chart-area", data_chart=data), class_="chart-plot")


def figure(
    kind: str, title: str, unit: str, *content: str, legend: Markup = Markup(""), url: str = ""
) -> Markup:
    """Wrap a picture with its visible heading, unit and legend; `url` makes the heading a link."""
    named = html("a", title, href=url) if url else title
    heading = html(
        "figcaption",
        html("span", named, class_="chart-title"),
        html("span", unit, class_="chart-unit") if unit else Markup(""),
        legend,
    )
    return html("figure", heading, *content, class_=f"chart chart-{kind}")


def no_data(kind: str, title: str, unit: str, reason: str, url: str = "") -> Markup:
    """Draw a chart that has nothing to draw: the heading and the reason."""
    return figure(kind, title, unit, html("p", reason, class_="chart-empty"), url=url)
