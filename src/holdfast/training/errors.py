"""What stops a training, and why."""

from __future__ import annotations

from holdfast.base.errors import InvalidError, UserCodeError


class TrainingDataError(InvalidError):
    """The rows cannot train the declared model: too few, of one class, without inputs."""

    code = "training_data"


class TrainingFailedError(UserCodeError):
    """A training ended without a model; the run keeps the reason."""

    code = "training_failed"
