"""What the registry refuses, and why."""

from __future__ import annotations

from holdfast.base.errors import ConflictError, HoldfastError, InvalidError, UserCodeError


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
