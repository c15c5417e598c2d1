"""What the real client sent, sent again: the answers are what it got then, but for ids and times."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.wire.mlflow.tracking_server import Raw

FOLDER = Path(__file__).parent / "recorded"
ID = re.compile(
    r"(?<![0-9a-z])(?:(?:m-)?[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-z])"
)
SHORT = re.compile(r"\b(?:run|model)-[0-9a-f]{8}\b")
TIMES = {
    "creation_time",
    "last_update_time",
    "creation_timestamp_ms",
    "last_updated_timestamp_ms",
    "creation_timestamp",
    "last_updated_timestamp",
    "end_time",
}


@pytest.mark.parametrize("name", ["tracking", "registry"])
def test_recorded_requests_get_the_recorded_answers(tracking_url, name):
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    raw, ids = Raw(tracking_url), {}

    def present(text):
        return ID.sub(lambda match: ids.get(match[0], match[0]), text)

    assert len(recorded) > 40
    for number, exchange in enumerate(recorded[1:]):
        body = exchange["body"]
        status, answer = raw.send(
            exchange["method"],
            with_marks(present(exchange["path"]), ids),
            None if body is None else with_marks(present(body), ids).encode(),
            {"Content-Type": exchange["type"]} if exchange["type"] else {},
        )
        where = f"request {number}: {exchange['method']} {exchange['path']}"
        assert status == exchange["status"], (where, answer)
        compare(as_json(exchange["answer"]), as_json(answer.decode()), ids, where)


def with_marks(text, ids):
    """Page tokens are ours to choose, so those of the recording become those of today."""
    for old, new in ids.items():
        if not ID.fullmatch(old):
            text = text.replace(old, new)
    return text


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def compare(old, new, ids, where):
    """The same shape and values; ids and page tokens that changed are noted, times are only there."""
    assert type(old) is type(new), where
    if isinstance(old, dict):
        assert old.keys() == new.keys(), where
        for key in old:
            if key == "next_page_token":
                ids[old[key]] = new[key]
            elif key not in TIMES:
                compare(old[key], new[key], ids, f"{where} .{key}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for first, second in zip(old, new, strict=True):
            compare(first, second, ids, where)
    elif isinstance(old, str):
        for first, second in zip(ID.findall(old), ID.findall(new), strict=True):
            ids.setdefault(first, second)
        assert SHORT.sub("N", ID.sub("I", old)) == SHORT.sub("N", ID.sub("I", new)), where
    else:
        assert old == new, where
