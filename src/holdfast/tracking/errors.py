"""What tracking refuses, and why."""

from __future__ import annotations

from holdfast.base.errors import ConflictError, InvalidError


class RunEndedError(ConflictError):
    """A run has ended in another way already."""

    code = "run_ended"


class AlreadyExistsError(ConflictError):
    """The name is taken."""

    code = "already_exists"


class NotActiveError(InvalidError):
    """The run or experiment is deleted, and takes nothing until it is restored."""

    code = "not_active"


class ParameterChangedError(InvalidError):
    """A parameter is written once; another value for it is refused."""

    code = "parameter_changed"
