"""Reading request bodies: typed decoding, and errors that name the field in the caller's own terms."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from holdfast.serving.plane.errors import RequestError

T = TypeVar("T")

BODY_BYTES_MOST = 64 << 20
ROWS_MOST = 100_000

_PATH = re.compile(r" - at `\$\.?(.*)`$")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The request of a body.

    Raises:
        RequestError: not JSON, not UTF-8, nested too deeply, or not of the expected form.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = "the body is empty" if not body else f"the body is not JSON ({error})"
        raise RequestError(what, hint="send a JSON object in UTF-8", code="invalid_json") from None
    except RecursionError:
        raise RequestError(
            "the body is nested too deeply", hint="send flat rows", code="invalid_json"
        ) from None


def _misfit(error: msgspec.ValidationError) -> RequestError:
    text = str(error)
    place = _PATH.search(text)
    field = place[1] if place else None
    message = _PATH.sub("", text)
    return RequestError(f"{field}: {message}" if field else message, field=field or None)


def shown(value: Any, most: int = 60) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
