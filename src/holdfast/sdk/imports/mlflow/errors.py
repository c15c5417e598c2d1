"""What keeps an import from reading its source."""

from __future__ import annotations

from holdfast.base.errors import InvalidError, NotFoundError, UnavailableError


class SourceError(InvalidError):
    """The source is not an MLflow store, or one that cannot be read."""

    code = "import_source"


class SourceAwayError(UnavailableError):
    """The source stopped answering; the same command goes on where it was."""

    code = "import_source_away"


class ElsewhereError(NotFoundError):
    """Files that the store only points at lie where this import cannot reach them."""

    code = "import_elsewhere"
