"""`holdfast data` and `hf.datasets` as a user meets them: a real server, real files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import polars as pl
import pytest

from holdfast import datasets
from holdfast.base.home import Home
from tests.cli.test_commands import end, refused
from tests.server.conftest import holdfast

ROWS = pl.DataFrame({"city": ["Oslo", "Bergen"], "people": [709_000, 291_000]})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("data") / "home")
    yield home
    end(home)


@pytest.fixture
def cities(tmp_path):
    path = tmp_path / "cities.csv"
    ROWS.write_csv(path)
    return path


def said(home: Home, *arguments: str) -> str:
    done = holdfast(home, "data", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_add_list_show_append(home, cities):
    first = said(home, "add", "cities", str(cities), "--key", "city", "-m", "the first two")
    assert first.startswith("cities@1: 2 rows, 2 columns, fingerprint ")
    assert "cities has these rows already: cities@1" in said(
        home, "add", "cities", str(cities), "--key", "city"
    )
    pl.DataFrame({"city": ["Voss"], "people": [16_000]}).write_csv(cities)
    assert ", grown from cities@1" in said(home, "add", "cities", str(cities), "--append")
    assert "cities@2  3     2" in said(home, "list", "cities")
    assert "cities   2               3" in said(home, "list")
    shown = said(home, "show", "cities@1")
    for word in ("the first two", "fingerprint", str(cities), "291000 to 709000", "Bergen, Oslo"):
        assert word in shown
    added = json.loads(said(home, "add", "cities", str(cities), "--json"))
    assert (added["created"], added["version"]["version"], added["version"]["rows"]) == (True, 3, 1)
    refused(holdfast(home, "data", "add", "cities", str(cities), "--append", "--key", "city"), "has its key")


def test_diff_checkout_verify_tag_and_gc(home, tmp_path):
    path = tmp_path / "towns.csv"
    ROWS.write_csv(path)
    said(home, "add", "places", str(path), "--key", "city")
    ROWS.with_columns(people=pl.col("people") + 1).head(1).write_csv(path)
    said(home, "add", "places", str(path), "--key", "city")
    diff = said(home, "diff", "places@1")
    assert "rows by city: 0 added, 1 removed, 1 changed, 0 unchanged" in diff
    assert "people: 709000 → 709001" in diff
    found = json.loads(said(home, "diff", "places@1", "2", "--json"))
    assert found["rows"]["columns"] == {"people": 1}
    assert "wrote 2 rows of places@1" in said(home, "checkout", "places@1", str(tmp_path / "out.parquet"))
    assert pl.read_parquet(tmp_path / "out.parquet").equals(ROWS)
    refused(holdfast(home, "data", "checkout", "places@1", str(tmp_path / "out.parquet")), "add --force")
    said(home, "tag", "places@1", "gold")
    assert "gold  places@1" in said(home, "tag", "places")
    assert "places@1 stays: it is tagged gold" in said(home, "gc", "places")
    said(home, "tag", "places", "gold", "--remove")
    assert "would delete places@1" in said(home, "gc", "places", "--dry-run")
    assert "deleted places@1" in said(home, "delete", "places@1")
    refused(holdfast(home, "data", "show", "places@1"), "was deleted by")
    assert "are what they were" in said(home, "verify", "places")
    digest = json.loads(said(home, "show", "places", "--json"))["parts"][0]["digest"]
    (home.blobs / digest[:2] / digest).write_bytes(b"")
    damaged = holdfast(home, "data", "verify", "places")
    assert (damaged.returncode, digest in damaged.stdout) == (3, True)


def test_what_cannot_be_added_leaves_nothing(home, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"x\n\xff\n")
    refused(
        holdfast(home, "data", "add", "bad", str(tmp_path / "bad.csv")),
        "line 2: byte 0xff is not valid UTF-8",
    )
    refused(holdfast(home, "data", "add", "bad", str(tmp_path / "gone.csv")), "does not exist")
    refused(holdfast(home, "data", "add", "../bad", str(tmp_path / "bad.csv")), "is not a name for a dataset")
    refused(holdfast(home, "data", "show", "bad"), "there is no dataset of a table 'bad'")
    done = holdfast(home, "data", "show", "bad", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "not_found"


def test_python_has_the_same_nouns(home):
    root = str(home.root)
    added = datasets.add("towns", ROWS, key="city", message="from a frame", home=root)
    assert (added.created, added.version.version, added.version.message) == (True, 1, "from a frame")
    grown = datasets.add("towns", pl.DataFrame({"city": ["Voss"], "people": [1]}), append=True, home=root)
    assert grown.version.parts[0] == added.version.parts[0]
    assert datasets.read("towns@1", home=root).collect().equals(ROWS)
    assert datasets.read("towns", home=root).select(pl.len()).collect().item() == 3
    assert datasets.get("towns@2", home=root) == grown.version
    assert [version.version for version in datasets.versions("towns", home=root)] == [2, 1]
    assert datasets.diff("towns@1", "2", home=root).rows.added == 1
    assert datasets.tag("towns@1", "gold", home=root).version == 1
    assert datasets.gc("towns", dry_run=True, home=root).kept[0].because.startswith("it is tagged gold")
    assert datasets.verify("towns@gold", home=root).ok
    assert datasets.delete("towns@2", home=root).version == 2
    assert "towns" in [found.table for found in datasets.list(home=root)]


def test_a_declared_table_trains_whatever_was_added_under_its_name(home, tmp_path):
    from tests.cli.test_commands import MODEL, rows

    (tmp_path / "shop.py").write_text(MODEL)
    rows().write_csv(tmp_path / "sales.csv")
    assert "sales@1: 400 rows" in said(home, "add", "sales", str(tmp_path / "sales.csv"), "--time", "at")
    trained = holdfast(home, "train", str(tmp_path / "shop.py"))
    assert trained.returncode == 0, trained.stderr
    assert "data/sales@2, 400 rows" in holdfast(home, "trace", "shop", "--version", "1").stdout
    refused(holdfast(home, "data", "delete", "sales@2"), "sales@2 stays: tracking/run/")
    assert "sales@1" in said(home, "delete", "sales@1")
    refused(
        holdfast(home, "data", "add", "sales", str(tmp_path / "sales.csv"), "--append"), "is a declared table"
    )


def test_a_version_is_declared_like_the_one_before_where_nothing_is_said(home, tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("id,at,y,note\n1,2026-01-01,3,a\n2,2026-01-02,4,b\n")
    said(home, "add", "till", str(path), "--key", "id", "--time", "at", "--label", "y", "--drop", "note")
    refused(holdfast(home, "data", "diff", "till"), "till has one version")
    path.write_text("id,at,y,note\n1,2026-01-01,3,a\n2,2026-01-02,5,b\n")
    done = holdfast(home, "data", "add", "till", str(path), "--key", "id")
    assert "as in till@1: time at; label y; drop note" in done.stderr, done.stderr
    assert "till@2" in done.stdout
    found = datasets.get("till", home=str(home.root))
    roles = {field.name: field.role for field in found.contract.fields}
    assert roles == {"id": "key", "at": "time", "y": "label"}
    assert "till@1 → till@2" in said(home, "diff", "till")
    path.write_text("id,at\n1,2026-01-01\n")
    refused(holdfast(home, "data", "add", "till", str(path)), "as in till@2: key id")
    assert "till@3" in said(home, "add", "till", str(path), "--label", "", "--drop", "")
    bare = datasets.add("till", str(path), key="", time="", label="", drop="", home=str(home.root))
    assert [field.role for field in bare.version.contract.fields] == ["feature", "feature"]


def test_two_who_append_at_once_both_get_their_rows(home):
    root = str(home.root)
    datasets.add("log", pl.DataFrame({"n": [0]}), home=root)
    failed: list[BaseException] = []

    def append(number: int) -> None:
        try:
            datasets.add("log", pl.DataFrame({"n": [number]}), append=True, home=root)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=append, args=(number,)) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    newest = datasets.get("log", home=root)
    assert sorted(datasets.read("log", home=root).collect()["n"]) == [0, 1, 2, 3]
    assert (newest.version, newest.parent) == (4, 3)


def test_hf_datasets_is_light():
    code = (
        "import sys, holdfast as hf; hf.datasets;"
        "print([name for name in ('polars', 'numpy', 'starlette') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
