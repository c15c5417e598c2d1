"""What can go wrong in a ledger, whichever database holds it."""

from __future__ import annotations

from typing import ClassVar

from holdfast.base.errors import ConflictError, UnavailableError


class IntegrityError(ConflictError):
    """A row breaks a rule of its table: the key is taken, or a value that must be there is missing."""

    code = "conflict"


class LeadLostError(UnavailableError):
    """The change was decided as the leader of the ledger, and another server leads by now."""

    code = "lead_lost"


class UnknownOutcomeError(UnavailableError):
    """The database went away while it committed and did not come back in time to say what became of it.

    Trying again at once could do the change twice, so it is not retryable.
    """

    code = "unknown_outcome"
    retryable: ClassVar[bool] = False
