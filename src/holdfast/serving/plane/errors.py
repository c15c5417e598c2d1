"""What callers of the data plane can do wrong, and what can go wrong for them."""

from __future__ import annotations

from holdfast.base.errors import InvalidError, NotFoundError, UnavailableError


class RequestError(InvalidError):
    """The request cannot be understood."""

    code = "invalid_request"


class TooLargeError(InvalidError):
    """The request is beyond what one request may hold."""

    code = "too_large"
    status = 413


class MethodError(InvalidError):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class NotServedError(NotFoundError):
    """Nothing of that name, or not that version of it, is served here."""

    code = "unknown_deployment"


class ModelFailedError(UnavailableError):
    """The model raised, or answered something that is no answer. The failure is in the prediction log."""

    code = "model_failed"


class NotLoadedError(UnavailableError):
    """The deployment is known, but its versions could not be loaded yet."""

    code = "not_loaded"
