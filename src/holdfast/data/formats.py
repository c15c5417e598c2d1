"""String formats by name, and regular expressions. The serving door imports this, so it is light.

Columns are judged by polars (Rust's regex, `format_columns`) and requests by Python's `re`. The named formats are
written with ASCII classes and without anything that the two read differently; a user's own pattern is always Python's.
"""

from __future__ import annotations

TIME_FORMAT = "datetime"
_HEX = "[0-9a-fA-F]"

FORMATS: dict[str, str] = {
    "date": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    # The start alone; that it is a time is seen when it is parsed.
    TIME_FORMAT: r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ -~]*",
    "email": r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+",
    "ipv4": r"((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])",
    "url": r"https?://[^ \t\r\n/?#]+[^ \t\r\n]*",
    "uuid": f"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
}


def python_pattern(format_: str | None, pattern: str | None) -> str | None:
    """What Python's `re.search` must find for the whole string to fit; None where nothing is asked.

    Example:
        >>> import re
        >>> re.search(python_pattern("email", None), "ada@example.org") is not None
        True
        >>> re.search(python_pattern(None, "[A-Z]{3}"), "JFK2") is None
        True
    """
    inner = pattern if pattern is not None else FORMATS.get(format_ or "")
    return None if inner is None else rf"^(?:{inner})\Z"
