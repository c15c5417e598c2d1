"""Settings: which place wins, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.base.config import load
from holdfast.base.errors import InvalidError


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('port = 1\nserve_port = 2\nproject = "file"\n')
    found = load({"port": 5, "home": None}, {"HOLDFAST_PORT": "3", "HOLDFAST_SERVE_PORT": "4"}, tmp_path)
    assert (found.port, found.serve_port, found.project, found.home) == (5, 4, "file", "~/.holdfast")


@pytest.mark.parametrize(
    ("file", "environ", "message"),
    [
        ("", {"HOLDFAST_PORT": "http"}, "HOLDFAST_PORT is 'http', which is not a whole number; correct it"),
        ("port = 1.5", {}, "port in {folder}/holdfast.toml is 1.5, which is not a whole number"),
        ("tick_seconds = []", {}, "tick_seconds in {folder}/holdfast.toml is [], which is not a number"),
        ("ports = 3", {}, "has the unknown setting 'ports'; valid are data"),
        ("port = ", {}, "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    tmp_path: Path, file: str, environ: dict[str, str], message: str
) -> None:
    (tmp_path / "holdfast.toml").write_text(file)
    with pytest.raises(InvalidError) as caught:
        load({}, environ, tmp_path)
    assert message.format(folder=tmp_path) in str(caught.value)
