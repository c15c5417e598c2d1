"""What the registry refuses, and why."""

from __future__ import annotations

from holdfast.base.errors import (
    ConflictError,
    ForbiddenError,
    HoldfastError,
    InvalidError,
    UserCodeError,
)


class UnusableModelError(UserCodeError):
    """A training function returned something that cannot be stored and served."""

    code = "unusable_model"


class UntrustedModelError(InvalidError):
    """A model file asks for a type that the allow-list does not know; nothing of it was run."""

    code = "untrusted_model"


class DamagedModelError(HoldfastError):
    """A stored model file cannot be read."""

    code = "damaged_model"


class MissingLibraryError(HoldfastError):
    """A model needs a library of an extra that is not installed.

    Example:
        >>> str(MissingLibraryError("lightgbm", "LightGBM models"))
        "LightGBM models need the package lightgbm, which is not installed; type `pip install 'holdfast[lightgbm]'`"
    """

    code = "missing_library"

    def __init__(self, extra: str, what: str, detail: str = "") -> None:
        reason = f"which cannot be loaded ({detail})" if detail else "which is not installed"
        super().__init__(
            f"{what} need the package {extra}, {reason}", hint=f"type `pip install 'holdfast[{extra}]'`"
        )


class StageConflictError(ConflictError):
    """A version cannot go from the stage it is in to the one that was asked for."""

    code = "stage"


class AlreadyRegisteredError(ConflictError):
    """A model of the name exists."""

    code = "already_exists"


class InUseError(ConflictError):
    """What is deployed, or was, cannot be renamed or deleted: a rollback or a trace may need it."""

    code = "in_use"


class NotReadyError(ConflictError):
    """A version from outside that has not been made ready to serve yet."""

    code = "not_ready"


class GatedAliasError(ForbiddenError):
    """`champion` and `challenger` follow what is deployed; whoever sets them from outside files a request."""

    code = "gated_alias"


class UnservableModelError(InvalidError):
    """A model from outside cannot be served, and why."""

    code = "unservable_model"


class TrustNeededError(ForbiddenError):
    """A model file would run code when it is loaded, and nobody has said that it is trusted."""

    code = "trust_needed"


class UnknownAliasError(InvalidError):
    """A model has no alias of the name."""

    code = "unknown_alias"
