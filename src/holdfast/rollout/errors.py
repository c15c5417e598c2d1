"""What can go wrong in a rollout."""

from __future__ import annotations

from holdfast.base.errors import ConflictError, InvalidError, NotFoundError


class NoVariantError(InvalidError):
    """No variant of the deployment answers requests."""


class NoRolloutError(NotFoundError):
    """The numbered rollout does not exist in this project."""


class RolloutOpenError(ConflictError):
    """The model is already being rolled out in this environment."""


class RolloutStateError(ConflictError):
    """The rollout is in a state that does not allow this, for instance ended."""
