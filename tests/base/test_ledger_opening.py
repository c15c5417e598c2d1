"""A home has one ledger for ever: another one would take its blobs for garbage."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.base import events
from holdfast.base.errors import HomeError
from holdfast.base.ledger.opening import open_ledger, open_read_only

pytestmark = pytest.mark.postgresql


def test_a_home_on_postgresql_is_opened_with_no_other_ledger(tmp_path: Path, postgresql_url: str) -> None:
    file = tmp_path / "ledger.db"
    open_ledger(postgresql_url, file, events.MIGRATIONS).close()
    kept = (tmp_path / "ledger.location").read_text()
    assert kept.startswith("postgresql://")
    assert "@" not in kept
    open_ledger(postgresql_url, file, events.MIGRATIONS).close()
    open_read_only(postgresql_url, file, events.MIGRATIONS).close()
    for opening in (open_ledger, open_read_only):
        with pytest.raises(HomeError) as caught:
            opening("", file, events.MIGRATIONS)
        assert str(caught.value).startswith(
            f"the ledger of this home is at {kept}; set HOLDFAST_LEDGER={kept}"
        )
        with pytest.raises(HomeError, match=r"the ledger of this home is at .*, not at .*other"):
            opening(f"{postgresql_url}other", file, events.MIGRATIONS)
    assert not file.exists()


def test_a_home_with_a_file_is_not_opened_with_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    file = tmp_path / "ledger.db"
    open_ledger("", file, events.MIGRATIONS).close()
    with pytest.raises(HomeError, match=r"this home has its ledger in .*ledger.db, not at postgresql://"):
        open_ledger(postgresql_url, file, events.MIGRATIONS)
    assert not (tmp_path / "ledger.location").exists()
