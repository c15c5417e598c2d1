"""The error tree. A message says what happened, why, and what to type next.

The type says whether trying again can help (`retryable`) and which HTTP status the doors answer with, so that
no door needs a table of its own.

Example:
    >>> error = NotFoundError("there is no model 'bikes'", hint="list the models with `holdfast status`")
    >>> str(error), error.status, error.retryable
    ("there is no model 'bikes'; list the models with `holdfast status`", 404, False)
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The one error shape of every door: `{"error": {"code", "message", "field"}}`."""

    code: str
    message: str
    field: str | None = None


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The JSON object that carries an `ErrorBody`."""

    error: ErrorBody


class HoldfastError(Exception):
    """Root of everything holdfast raises on purpose.

    Args:
        message: what happened and why, one sentence without a final full stop.
        hint: what the reader can do next, e.g. a command to type.
        field: the input field at fault, e.g. `rows[0].temp`.
        code: a stable machine-readable word; defaults to the class's.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, hint: str | None = None, field: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.field = field
        self.error_code = code or type(self).code

    def envelope(self) -> ErrorEnvelope:
        """The error as the doors send it."""
        return ErrorEnvelope(ErrorBody(self.error_code, str(self), self.field))


class InvalidError(HoldfastError):
    """The caller's input is wrong; the same call will fail again."""

    code = "invalid"
    status = 400


class DeclarationError(InvalidError):
    """A declaration in user code (Table, features, model…) is wrong; raised where it is written."""

    code = "invalid_declaration"


class ForbiddenError(HoldfastError):
    """The actor may not do this."""

    code = "forbidden"
    status = 403


class NotFoundError(HoldfastError):
    """The named thing does not exist."""

    code = "not_found"
    status = 404


class ConflictError(HoldfastError):
    """The request does not fit the present state (already exists, quarantined, frozen, running…)."""

    code = "conflict"
    status = 409


class UserCodeError(HoldfastError):
    """The user's own function raised, or returned something unusable."""

    code = "user_code"
    status = 422


class UnavailableError(HoldfastError):
    """Something needed is not there right now; trying again later can help."""

    code = "unavailable"
    status = 503
    retryable = True


class HomeError(HoldfastError):
    """The home cannot be used: a newer schema, not writable, or owned by another server."""

    code = "home"
    status = 409


class RemoteError(HoldfastError):
    """What a server answered, raised again in the client with the server's own code and text."""

    code = "remote"

    def __init__(self, body: ErrorBody, status: int) -> None:
        super().__init__(body.message, field=body.field, code=body.code)
        self.remote_status = status
