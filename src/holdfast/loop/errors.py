"""What can go wrong when someone, or the loop, acts on a model."""

from __future__ import annotations

from holdfast.base.errors import ConflictError, NotFoundError


class UndeclaredModelError(NotFoundError):
    """The model was never declared here."""

    def __init__(self, name: str, known: list[str]) -> None:
        have = f"declared here: {', '.join(known)}" if known else "declare one with `holdfast up FILE`"
        super().__init__(f"there is no model {name!r}", hint=have)


class UntrainableError(ConflictError):
    """The model came from outside and no file declares how to train it."""

    code = "not_trainable"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was registered from outside, and no file declares how to train it",
            hint="declare it with `holdfast train FILE`, or train it where it came from",
        )


class NotDeployableError(ConflictError):
    """The version's gates did not pass, or it is quarantined."""

    code = "not_deployable"


class NotReplayableError(ConflictError):
    """The prediction log lacks what a version needs to score it again."""

    code = "not_supported"
