"""Time and identity of a request."""

from __future__ import annotations

import itertools
import re

from holdfast.base.clock import Clock, Micros, parse_time
from holdfast.base.errors import InvalidError
from holdfast.serving.plane.errors import RequestError

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class Moments:
    """Says when a request happened: now, or at the time it carries where the clock is simulated."""

    def __init__(self, clock: Clock, *, simulated: bool) -> None:
        self.simulated = simulated
        self._clock = clock
        self._latest_at: Micros = 0

    def now(self) -> Micros:
        """The time; under simulation the latest that any request has said."""
        return self._latest_at if self.simulated else self._clock.now()

    def of_request(self, text: str | None, field: str = "at") -> Micros:
        """The time of a request whose `at` is `text`.

        Raises:
            RequestError: `at` is not a time, is given on a real clock, or is missing on a simulated one.
        """
        if not self.simulated:
            if text is not None:
                raise RequestError(
                    f"{field} is only for a simulated clock",
                    hint="leave it out; the time is now",
                    field=field,
                )
            return self._clock.now()
        if text is None:
            raise RequestError(
                f"{field} is missing: under --clock simulated each request says when it happens",
                hint='add "at": "2012-01-01T07:00:00Z"',
                field=field,
            )
        at = moment(text, field)
        self._latest_at = max(self._latest_at, at)
        return at

    def of_label(self, text: str | None, field: str) -> Micros:
        """When a label became known: the time it says, not in the future; now where it says nothing."""
        if text is None:
            return self.of_request(None, field)
        if self.simulated:
            return self.of_request(text, field)
        known_at = moment(text, field)
        if known_at > self.now():
            raise RequestError(
                f"{field}: {text} lies in the future", hint="say when it became known", field=field
            )
        return known_at


class RequestIds:
    """Ids for requests that bring none. `token` tells this process from every other, before and after it."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._numbers = itertools.count(1)

    def of_request(self, given: str | None) -> str:
        """The caller's id, or a new one.

        Raises:
            RequestError: the id has another form.
        """
        if given is None:
            return f"{self._token}{next(self._numbers):x}"
        if _REQUEST_ID.fullmatch(given) is None:
            raise RequestError(
                f"id: {given[:70]!r} is not a request id",
                hint="use 1 to 64 letters, digits, '_', '-' or '.'",
                field="id",
            )
        return given


def moment(text: str, field: str) -> Micros:
    """Microseconds of an ISO 8601 text.

    Raises:
        RequestError: it is none; names the field.
    """
    try:
        return parse_time(text)
    except InvalidError as error:
        raise RequestError(f"{field}: {error}", field=field) from None
