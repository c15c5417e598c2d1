"""What tracking refuses, and why."""

from __future__ import annotations

from holdfast.base.errors import ConflictError


class RunEndedError(ConflictError):
    """A run has ended in another way already."""

    code = "run_ended"
