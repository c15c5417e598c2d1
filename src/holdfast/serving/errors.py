"""What can go wrong around deployments."""

from __future__ import annotations

from holdfast.base.errors import ConflictError, NotFoundError


class UnknownDeploymentError(NotFoundError):
    """No deployment of that name in the environment."""

    def __init__(self, name: str, environment: str, known: list[str]) -> None:
        have = f"deployed there: {', '.join(known)}" if known else "deploy one with `holdfast up FILE`"
        super().__init__(f"nothing named {name!r} is deployed in {environment}", hint=have)


class NothingToRollBackToError(ConflictError):
    """No earlier version is warm."""

    code = "nothing_to_roll_back_to"


class QuarantinedError(ConflictError):
    """The version was rolled back; a person must lift the quarantine by naming it."""

    code = "quarantined"
