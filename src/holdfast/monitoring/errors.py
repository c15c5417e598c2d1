"""What can go wrong in monitoring."""

from __future__ import annotations

from holdfast.base.errors import NotFoundError


class NoAlertError(NotFoundError):
    """The numbered alert does not exist in this project."""
