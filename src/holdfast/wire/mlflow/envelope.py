"""Errors as MLflow's clients understand them: `{"error_code", "message"}` with MLflow's codes and statuses."""

from __future__ import annotations

import errno
import logging
from typing import ClassVar

import msgspec

from holdfast.base.errors import (
    ConflictError,
    ForbiddenError,
    HoldfastError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

# What an operating system says when there is no room: disk, quota, limit of a file's size, open files.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})

logger = logging.getLogger(__name__)

INVALID_PARAMETER_VALUE = "INVALID_PARAMETER_VALUE"
_STATUS = {
    "BAD_REQUEST": 400,
    INVALID_PARAMETER_VALUE: 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
# The first class that fits says the code; `error.error_code` of "already_exists" goes before it.
_CODES: tuple[tuple[type[HoldfastError], str], ...] = (
    (InvalidError, INVALID_PARAMETER_VALUE),
    (NotFoundError, "RESOURCE_DOES_NOT_EXIST"),
    (ForbiddenError, "PERMISSION_DENIED"),
    (ConflictError, "RESOURCE_CONFLICT"),
    (UnavailableError, "TEMPORARILY_UNAVAILABLE"),
)


class MlflowErrorBody(msgspec.Struct, frozen=True):
    """The JSON object of an error."""

    error_code: str
    message: str


class BadRequestError(InvalidError):
    """The request as such cannot be read (not its values)."""

    mlflow_code: ClassVar[str] = "BAD_REQUEST"


class EndpointNotFoundError(NotFoundError):
    """No endpoint has this method and path."""

    mlflow_code: ClassVar[str] = "ENDPOINT_NOT_FOUND"


class NotImplementedYetError(HoldfastError):
    """An endpoint of MLflow that holdfast does not have."""

    code = "not_implemented"
    status = 501
    mlflow_code: ClassVar[str] = "NOT_IMPLEMENTED"


def code_of(error: HoldfastError) -> str:
    """MLflow's code of an error.

    Example:
        >>> code_of(NotFoundError("there is no run 'x'"))
        'RESOURCE_DOES_NOT_EXIST'
    """
    named = getattr(error, "mlflow_code", None)
    if isinstance(named, str):
        return named
    if error.error_code == "already_exists":
        return "RESOURCE_ALREADY_EXISTS"
    return next((code for kind, code in _CODES if isinstance(error, kind)), "INTERNAL_ERROR")


def error_answer(error: Exception) -> tuple[int, bytes]:
    """Status and body of an error; a mistake of ours is logged whole and answered without its inside."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        error = UnavailableError(
            f"nothing can be stored now ({error.strerror})", hint="make room on the server's disk"
        )
    if not isinstance(error, HoldfastError):
        logger.exception("unexpected error", exc_info=error)
        error = HoldfastError("something went wrong inside holdfast", hint="its log has the details")
    code = code_of(error)
    status = 413 if error.status == 413 else _STATUS[code]
    return status, msgspec.json.encode(MlflowErrorBody(code, str(error)))
