"""What can go wrong with feature views."""

from __future__ import annotations

from holdfast.base.errors import InvalidError, NotFoundError, UnavailableError, UserCodeError


class FeatureFunctionError(UserCodeError):
    """A feature function raised, or returned something that is no feature view."""


class TimeTravelError(UserCodeError):
    """A feature function uses what was not yet known at the time it gives its rows."""

    code = "time_travel"


class FeatureJoinError(InvalidError):
    """Rows and a view cannot be joined: a key is missing, or a name is taken."""

    code = "invalid_join"


class ViewNotFoundError(NotFoundError):
    """There is no such feature view or version in the project."""


class FeatureServiceNotFoundError(NotFoundError):
    """There is no such feature service or version in the project."""


class PushError(InvalidError):
    """Rows that are pushed do not fit their view."""

    code = "invalid_push"


class OnlineStoreError(UnavailableError):
    """The online store cannot be opened or is full."""

    code = "online_store"


class RequestFeatureError(UnavailableError):
    """A function of the request failed while a request was answered; the message is for the model's owner."""

    code = "request_feature"
    retryable = False
