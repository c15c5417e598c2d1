"""Databases, object stores and Delta tables as sources, each the real thing or its real protocol."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from holdfast.base.blobs import Blobs
from holdfast.base.errors import HoldfastError, InvalidError
from holdfast.data.add import Built, build_plain
from holdfast.data.build import read_parts
from holdfast.data.errors import SourceError
from holdfast.data.fingerprint import fingerprint_frame
from holdfast.data.readers import sql as reading_sql
from holdfast.data.readers.open import open_source
from holdfast.data.readers.sql import without_secrets
from holdfast.data.records import TableSpec
from tests.data.s3_store import s3_store


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE sale (id INTEGER, price REAL, city TEXT, mixed, raw BLOB)")
        rows = [
            (n, None if n < 3 else n / 2, "Oslo" if n % 2 else None, n if n < 9 else "nine", b"x")
            for n in range(10)
        ]
        database.executemany("INSERT INTO sale VALUES (?, ?, ?, ?, ?)", rows)
        database.commit()
    return f"sqlite:///{path}"


def build(blobs: Blobs, source: Any = None, **more: Any) -> Built:
    return build_plain(TableSpec("rows", None, ""), open_source(source, **more), blobs)


def test_a_query_of_sqlite_in_pieces(shop: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_sql, "_PIECE_ROWS", 2)
    query = "SELECT id, price, city FROM sale ORDER BY id"
    built = build(blobs, sql=query, connection=shop)
    expected = pl.DataFrame(
        {"id": range(10), "price": [None] * 3 + [n / 2 for n in range(3, 10)], "city": [None, "Oslo"] * 5}
    )
    assert read_parts(built.draft.parts, blobs).collect().equals(expected)
    assert built.draft.fingerprint == fingerprint_frame(expected)
    provenance = built.draft.provenance
    assert provenance is not None
    assert (provenance.kind, provenance.query, provenance.address) == ("sql", query, shop)
    assert build(blobs, sql=query, connection=shop).draft.source_digest == built.draft.source_digest


@pytest.mark.parametrize(
    ("query", "connection", "says"),
    [
        (
            "SELECT mixed FROM sale",
            None,
            "column 1 of the query holds integer such as 0 and text such as 'nine'",
        ),
        ("SELECT raw FROM sale", None, "column 1 of the query holds bytes"),
        ("SELECT id, id FROM sale", None, "several columns named 'id'"),
        ("SELECT id FROM sale WHERE id > 99", None, "the query has no rows"),
        ("SELECT id FROM sold", None, "refuses the query (no such table: sold)"),
        ("DROP TABLE sale", None, "the query reads nothing"),
        (
            "WITH x AS (SELECT 1) DELETE FROM sale",
            None,
            "refuses the query (attempt to write a readonly database)",
        ),
        ("SELECT 1", "sqlite:///nowhere.db", "does not exist"),
        ("SELECT 1", "mysql://x", "'mysql' is no database that can be read here"),
        (
            "SELECT 1",
            "postgresql://ann:secret@127.0.0.1:1/x",
            "postgresql://ann@127.0.0.1:1/x cannot be reached",
        ),
    ],
)
def test_bad_queries_are_one_sentence(
    shop: str, blobs: Blobs, query: str, connection: str | None, says: str
) -> None:
    with pytest.raises(HoldfastError) as caught:
        build(blobs, sql=query, connection=connection or shop)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_query_needs_a_connection_and_no_source(shop: str, blobs: Blobs) -> None:
    for arguments in ({"sql": "SELECT 1"}, {"sql": "SELECT 1", "connection": shop, "source": "x.csv"}):
        with pytest.raises(InvalidError, match="takes the place of a source"):
            build(blobs, **arguments)


@pytest.mark.postgresql
def test_a_query_of_postgresql(postgresql_url: str, blobs: Blobs) -> None:
    query = (
        "SELECT n AS id, n / 2.0 AS half, CASE WHEN n > 2 THEN 'x' || n END AS name, n % 2 = 0 AS even,"
        " TIMESTAMPTZ '2026-01-01 01:00:00+01' + n * INTERVAL '1 hour' AS at,"
        " '00000000-0000-0000-0000-000000000001'::uuid AS ref FROM generate_series(0, 4) AS n"
    )
    url = postgresql_url.partition("?")[0]
    built = build(blobs, sql=query, connection=url)
    rows = read_parts(built.draft.parts, blobs).collect()
    assert rows.row(3) == (
        3,
        1.5,
        "x3",
        False,
        datetime(2026, 1, 1, 3),
        "00000000-0000-0000-0000-000000000001",
    )
    assert [field.type for field in built.draft.fields] == [
        "integer", "float", "string", "boolean", "datetime", "string",
    ]  # fmt: skip
    with pytest.raises(SourceError, match="refuses the query"):
        build(blobs, sql="SELECT nothing FROM nowhere", connection=url)
    with pytest.raises(SourceError, match="column 1 of the query holds list"):
        build(blobs, sql="SELECT ARRAY[1, 2] AS list", connection=url)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://ann:se%40cret@db:5432/shop", "postgresql://ann@db:5432/shop"),
        ("postgresql://db/shop?user=ann&password=secret", "postgresql://db/shop?user=ann"),
        ("postgresql:///shop", "postgresql:///shop"),
        ("sqlite:////data/shop.db", "sqlite:////data/shop.db"),
    ],
)
def test_no_password_is_kept(url: str, kept: str) -> None:
    assert without_secrets(url) == kept


def test_objects_of_an_s3_store(tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'holdfast[s3]'")
    one, two = pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3.5]})
    one.write_parquet(tmp_path / "one.parquet")
    objects = {
        "rides/a.parquet": (tmp_path / "one.parquet").read_bytes(),
        "rides/b.csv": b"x\n3.5\n",
        "notes.txt": b"",
    }
    with s3_store("lake", objects) as address:
        settings = {
            "ENDPOINT_URL": address,
            "ACCESS_KEY_ID": "k",
            "SECRET_ACCESS_KEY": "s",
            "REGION": "us-east-1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        built = build(blobs, "s3://lake/rides/a.parquet")
        assert built.draft.fingerprint == fingerprint_frame(one)
        both = build(blobs, "s3://lake/rides/")
        assert both.draft.fingerprint == fingerprint_frame(pl.concat([one.cast(pl.Float64), two]))
        assert build(blobs, "s3://lake/rides/*.csv").draft.fingerprint == fingerprint_frame(two)
        provenance = both.draft.provenance
        assert provenance is not None
        assert [file.path for file in provenance.files] == [
            "s3://lake/rides/a.parquet",
            "s3://lake/rides/b.csv",
        ]
        for bad, says in (
            ("s3://lake/rides/none.csv", "cannot be fetched"),
            ("s3://lake/none/*.csv", "matches no object"),
            ("s3://lake", "names no object"),
        ):
            with pytest.raises(SourceError, match=says) as caught:
                build(blobs, bad)
            assert "\n" not in str(caught.value)


def test_a_delta_table(tmp_path: Path, blobs: Blobs) -> None:
    pytest.importorskip("deltalake", reason="deltalake is not installed: pip install 'holdfast[delta]'")
    rows = pl.DataFrame({"city": ["Oslo", "Oslo", "Voss"], "x": [1.0, 2.0, None]})
    path = tmp_path / "table"
    rows.write_delta(path, delta_write_options={"partition_by": ["city"]})
    rows.head(1).write_delta(path, mode="append")
    built = build(blobs, path)
    found = read_parts(built.draft.parts, blobs).collect()
    assert found.select("city", "x").sort("city", "x").rows() == [
        ("Oslo", 1.0),
        ("Oslo", 1.0),
        ("Oslo", 2.0),
        ("Voss", None),
    ]
    provenance = built.draft.provenance
    assert provenance is not None
    assert (provenance.kind, provenance.query, provenance.address) == ("delta", "version 1", str(path))
    (path / "_delta_log" / "00000000000000000000.json").write_text("no log")
    with pytest.raises(SourceError, match="cannot be read"):
        build(blobs, path)


@pytest.mark.parametrize(
    ("package", "source", "says"),
    [("obstore", "s3://lake/a.csv", "holdfast[s3]"), ("deltalake", "table", "holdfast[delta]")],
)
def test_a_missing_extra_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, source: str, says: str
) -> None:
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(SourceError) as caught:
        open_source(source if "://" in source else tmp_path / source)
    assert says in str(caught.value)
