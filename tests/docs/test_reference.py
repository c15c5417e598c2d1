"""What is public is documented, because the reference is made from the code and compared."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from holdfast.base.config import SETTINGS, Config

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "reference.md").read_text() == module.reference(), (
        "run: python docs/make_reference.py > docs/reference.md"
    )


def test_every_setting_is_described():
    assert set(SETTINGS) == set(Config.__struct_fields__)


def test_the_files_that_the_architecture_names_exist():
    import re

    source = DOCS.parent / "src" / "holdfast"
    text = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", text))
    assert named
    missing = [
        path
        for path in sorted(named)
        if not any((source / folder / path).exists() for folder in ("", "serving"))
    ]
    assert missing == []
