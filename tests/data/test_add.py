"""Plain data becomes dataset versions: whatever the source, whatever its layout, in bounded memory."""
# ruff: noqa: DTZ001 (times of rows are naive and in UTC)

from __future__ import annotations

import gzip
import tempfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.blobs import Blobs
from holdfast.base.encoding import from_msgpack
from holdfast.base.errors import HoldfastError
from holdfast.data import add as adding
from holdfast.data import writer as writing
from holdfast.data.add import Built, build_plain, spec_of
from holdfast.data.build import read_parts
from holdfast.data.contract import infer_fields
from holdfast.data.errors import SourceError, StorageError, TableError
from holdfast.data.facts import Facts
from holdfast.data.fingerprint import fingerprint_frame
from holdfast.data.readers import csv_file
from holdfast.data.readers.open import open_source
from holdfast.data.records import DatasetVersion, TableSpec
from holdfast.profiles.records import Profile
from tests.data.test_build import version_of

PLAIN = TableSpec("rides", None, "")
ROWS = pl.DataFrame(
    {
        "city": ["Oslo", "Bergen", None, "Oslo"],
        "hr": [0, 1, 2, 3],
        "temp": [0.5, None, -0.0, 7.25],
        "open": [True, False, None, True],
        "at": [datetime(2026, 1, 1, hour) for hour in range(4)],
    }
)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def build(source: Any, blobs: Blobs, spec: TableSpec = PLAIN, **more: Any) -> Built:
    return build_plain(spec, open_source(source), blobs, **more)


def rows_of(built: Built, blobs: Blobs) -> pl.DataFrame:
    return read_parts(built.draft.parts, blobs).collect()


def profile_of(version: Any, blobs: Blobs) -> Profile:
    return from_msgpack(blobs.read(version.profile), Profile)


def many(count: int, start: int = 0) -> pl.DataFrame:
    number = pl.int_range(start, start + count)
    return pl.select(
        number.alias("id"),
        (number % 97 / 8).alias("x"),
        (number % 150).cast(pl.String).alias("many"),
        (number % 3).cast(pl.String).alias("few"),
    )


def test_every_kind_of_source_gives_the_same_rows_and_fingerprint(tmp_path: Path, blobs: Blobs) -> None:
    ROWS.write_parquet(tmp_path / "one.parquet", row_group_size=1, compression="uncompressed")
    dressed = ROWS.with_columns(
        pl.col("city").cast(pl.Categorical),
        pl.col("hr").cast(pl.UInt8),
        pl.col("at").dt.replace_time_zone("UTC"),
    )
    dressed.with_columns(pl.int_range(4).alias("__index_level_0__")).write_parquet(tmp_path / "two.parquet")
    sources = [ROWS, dressed, ROWS.lazy(), tmp_path / "one.parquet", str(tmp_path / "two.parquet")]
    built = [build(source, blobs) for source in sources]
    assert {item.draft.fingerprint for item in built} == {fingerprint_frame(ROWS)}
    assert len({item.draft.parts[0].digest for item in built}) == 1
    for item in built:
        assert rows_of(item, blobs).equals(ROWS)
        assert (item.draft.rows, item.notes) == (4, ())


def test_csv_gives_the_same_as_parquet(tmp_path: Path, blobs: Blobs) -> None:
    rows = ROWS.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    rows.write_csv(tmp_path / "rides.csv")
    with gzip.open(tmp_path / "zipped.csv.gz", "wb") as file:
        file.write((tmp_path / "rides.csv").read_bytes())
    spec = msgspec.structs.replace(PLAIN, time="at")
    for source in ("rides.csv", "zipped.csv.gz"):
        built = build(tmp_path / source, blobs, spec)
        assert built.draft.fingerprint == fingerprint_frame(ROWS)
        assert [field.role for field in built.draft.fields][-1] == "time"
        assert built.draft.parts[0].time_first_at == 1767225600_000_000


def test_csv_in_small_pieces_has_the_types_of_the_whole(
    tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts, floats and quoted newlines that come late change the types of everything before."""
    late = ['"a ""quoted""\nline"', "1.5", "x"]
    lines = [f"{n},{n},{n},NA" for n in range(300)] + [f"{late[0]},{late[1]},{late[2]},7"]
    (tmp_path / "t.csv").write_text("s,f,m,late\n" + "\n".join(lines))
    whole = build(tmp_path / "t.csv", blobs)
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 64)
    pieces = build(tmp_path / "t.csv", blobs)
    assert pieces.draft.fingerprint == whole.draft.fingerprint
    frame = rows_of(pieces, blobs)
    assert frame.schema == {"s": pl.String, "f": pl.Float64, "m": pl.String, "late": pl.Int64}
    assert frame.row(-1) == ('a "quoted"\nline', 1.5, "x", 7)
    assert (frame["m"][7], frame["late"].null_count()) == ("7", 300)


_TEXT = st.none() | st.text(st.sampled_from('ab",\n\r é1.'), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(-99, 99), _TEXT), min_size=1, max_size=25), st.integers(1, 40)
)
def test_csv_in_pieces_is_what_polars_reads_at_once(
    rows: list[tuple[int | None, str | None]], piece_bytes: int
) -> None:
    """Quotes, newlines and separators in texts, wherever the pieces are cut."""
    frame = pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "t.csv"
        frame.write_csv(path, quote_style="always")
        expected = pl.read_csv(path, infer_schema_length=None, null_values=["", "NA"])
        patch.setattr(csv_file, "PIECE_BYTES", piece_bytes)
        file = csv_file.CsvFile(path)
        while True:
            try:
                found = pl.concat(list(file.frames()))
                break
            except csv_file.TypesChangedError:
                continue
    assert found.rows() == expected.rows()
    assert found.schema == expected.schema


def test_many_files_are_one_version_with_common_types(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    (tmp_path / "b.csv").write_text("x,y\n2.5,b\n")
    for source in (tmp_path, str(tmp_path / "*.csv")):
        built = build(source, blobs)
        assert rows_of(built, blobs).rows() == [(1.0, "a"), (2.5, "b")]
        provenance = built.draft.provenance
        assert provenance is not None
        assert [Path(file.path).name for file in provenance.files] == ["a.csv", "b.csv"]
    (tmp_path / "c.csv").write_text("x,z\n2.5,b\n")
    with pytest.raises(SourceError, match=r"c.csv has other columns than a.csv: it lacks y"):
        build(tmp_path, blobs)


def test_how_rows_are_cut_into_parts_does_not_matter(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = many(150_000)
    whole = build(frame, blobs)
    monkeypatch.setattr(writing, "PART_BYTES", 400_000)
    monkeypatch.setattr(adding, "_gathered", lambda frames: (s for f in frames for s in f.iter_slices(9_999)))
    cut = build(frame, blobs)
    assert len(whole.draft.parts) == 1 < len(cut.draft.parts)
    assert cut.draft.fingerprint == whole.draft.fingerprint == fingerprint_frame(frame)
    assert cut.draft.fields == whole.draft.fields == infer_fields(frame, PLAIN)
    one, other = profile_of(whole.draft, blobs), profile_of(cut.draft, blobs)
    assert one.row_count == other.row_count == 150_000
    assert other.column("few").counts == one.column("few").counts  # type: ignore[union-attr]
    assert other.column("x").mean == pytest.approx(one.column("x").mean)  # type: ignore[union-attr]
    assert other.column("x").outside_count == 0  # type: ignore[union-attr]


def test_an_append_shares_files_and_equals_the_whole(blobs: Blobs) -> None:
    first = version_of(build(many(100_000), blobs).draft)
    appended = build(many(20_000, 100_000), blobs, spec_of(first), base=first)
    whole = build(many(120_000), blobs)
    assert appended.draft.parts[0] == first.parts[0]
    assert [part.rows for part in appended.draft.parts] == [100_000, 20_000]
    assert (appended.draft.fingerprint, appended.draft.rows) == (whole.draft.fingerprint, 120_000)
    assert appended.draft.fields == whole.draft.fields
    again = version_of(appended.draft, 2)
    third = build(many(5, 120_000), blobs, spec_of(again), base=again)
    assert third.draft.fingerprint == fingerprint_frame(many(120_005))
    assert third.draft.parent == 2


def test_an_append_to_a_version_of_an_early_release(blobs: Blobs) -> None:
    """Its parts tell no fingerprint to go on from, and its profile may be of other columns or gone."""
    first = version_of(build(many(70_000), blobs).draft)
    parts = tuple(msgspec.structs.replace(part, sealed="", fingerprint="e" * 64) for part in first.parts)
    for profile in (first.profile, blobs.put(msgspec.msgpack.encode(Profile())), "0" * 64):
        early = msgspec.structs.replace(first, parts=parts, fingerprint_format=1, profile=profile)
        grown = build(many(1_000, 70_000), blobs, spec_of(early), base=early).draft
        assert (grown.fingerprint, grown.fingerprint_format) == (fingerprint_frame(many(71_000)), 2)
        assert profile_of(grown, blobs).row_count == 71_000
        assert profile_of(grown, blobs).column("x").count == 71_000  # type: ignore[union-attr]


def test_cells_are_kept_while_rows_fall_into_them_and_renewed_when_not(blobs: Blobs) -> None:
    first = version_of(build(many(50_000), blobs).draft)
    same = build(many(50_000).with_columns(pl.col("id") % 1000), blobs, latest=first)
    before, after = profile_of(first, blobs), profile_of(same.draft, blobs)
    assert after.column("id").edges == before.column("id").edges  # type: ignore[union-attr]
    moved = build(many(50_000).with_columns(pl.col("x") + 100), blobs, latest=first)
    renewed = profile_of(moved.draft, blobs)
    assert renewed.column("x").outside_count == 0  # type: ignore[union-attr]
    assert renewed.column("few") == before.column("few")


def test_roles_come_from_the_declaration_and_survive_an_append(blobs: Blobs) -> None:
    spec = TableSpec("rides", None, "at", key=("hr",), label="temp", drop=("open",))
    first = version_of(build(ROWS, blobs, spec).draft)
    assert {field.name: field.role for field in first.contract.fields} == {
        "city": "feature",
        "hr": "key",
        "temp": "label",
        "at": "time",
    }
    assert spec_of(first) == msgspec.structs.replace(spec, drop=())
    assert profile_of(first, blobs).names == ("temp", "city")
    later = ROWS.with_columns(pl.col("at") + pl.duration(days=1), city=pl.lit(None), temp=pl.lit(1))
    grown = build(later, blobs, spec_of(first, ("open",)), base=first)
    assert grown.draft.rows == 8
    assert [field.type for field in grown.draft.fields] == ["string", "integer", "float", "datetime"]


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        ("", {}, "is empty"),
        ("a,b\n", {}, "has no rows"),
        ("a,b\n1,2,3\n", {}, "near line 2"),
        ("a,a\n1,2\n", {}, "several columns named 'a'"),
        (b"a\nx\n\xff\xfe\n", {}, "line 3: byte 0xff is not valid UTF-8; convert the file"),
        ("a\n1\n99999999999999999999\n", {}, "99999999999999999999, which is no integer of 64 bits"),
        ('a,b\n"x,1\ny,2\n', {}, "near line 2"),
        ("a\n1\n", {"key": ("b",)}, "no column 'b', which is declared as its key; its columns are: a"),
        ("a\n1\n", {"time": "at"}, "no column 'at', which is declared as its time"),
        ("a,at\n1,2026-01-01T00:00:00Z\n2,2026-01-01T00:00:00\n", {"time": "at"}, "but '2026-01-01T00:00:00' has none"),
        ("a,at\n1,2026-01-01\n2,soon\n", {"time": "at"}, "the time in row 2 is missing or no time (at = 'soon')"),
        ("a,at\n1,2026-01-01\n2,\n", {"time": "at"}, "the time in row 2 is missing or no time (at = null)"),
        ("a,at\n1,2\n", {"time": "at"}, "'at' is Int64, which is not a time"),
        ("a,y\n1,\n2,NA\n", {"label": "y"}, "the label 'y' is null in every row"),
        ("a,*\n1,2\n", {}, "the column name '*' is reserved"),
        ("len,b\n1,2\n1,3\n", {"key": ("len",)}, "several rows have the same key (len = '1')"),
        ("a,b\n1,2\n1,3\n", {"key": ("a",)}, "several rows have the same key (a = '1')"),
        ("a\n1\n", {"drop": ("a",), "label": "a"}, "column 'a' is the label and dropped at once"),
    ],
)  # fmt: skip
def test_bad_files_are_one_sentence_and_leave_nothing(
    tmp_path: Path, blobs: Blobs, text: str | bytes, spec: dict[str, Any], says: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises((SourceError, TableError)) as caught:
        build(path, blobs, msgspec.structs.replace(PLAIN, **spec))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_zones_are_compared_over_all_pieces(
    tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["2026-01-01T00:00:00"] * 50 + ["2026-01-01T00:00:00+01:00"] * 50
    (tmp_path / "t.csv").write_text("at\n" + "\n".join(lines))
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 64)
    monkeypatch.setattr(adding, "_gathered", lambda frames: frames)
    with pytest.raises(
        TableError, match=r"the times in 'at' have no zone, but '2026-01-01T00:00:00\+01:00' has one"
    ):
        build(tmp_path / "t.csv", blobs, msgspec.structs.replace(PLAIN, time="at"))


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"x": [1.5]}), "1.5 is not an integer"),
        (pl.DataFrame({"x": ["a"]}), "'a' is not an integer"),
        (pl.DataFrame({"y": [1]}), "these lack x"),
        (pl.DataFrame({"x": [1], "y": [1]}), "these also have y"),
        (pl.DataFrame({"x": [2**64 - 1]}, schema={"x": pl.UInt64}), "which is no integer of 64 bits"),
        (pl.DataFrame({"x": [[1]]}), "is of type List(Int64), which a table cannot hold"),
    ],
)
def test_rows_that_do_not_fit_are_not_appended(blobs: Blobs, frame: pl.DataFrame, says: str) -> None:
    base = version_of(build(pl.DataFrame({"x": [1]}), blobs).draft)
    with pytest.raises((SourceError, TableError)) as caught:
        build(frame, blobs, base=base)
    assert says in str(caught.value)


def test_what_was_read_in_another_form_is_told(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "t.csv").write_text("x,y,z\n1,NaN,a\n2,1.5,b\nlots,2.5,3\n")
    built = build(tmp_path / "t.csv", blobs)
    assert rows_of(built, blobs)["y"].to_list() == [None, 1.5, 2.5]
    assert built.notes == (
        "y: 1 values that are no numbers (NaN) are missing values now",
        "x is kept as text: 2 of its values are numbers and 1 are not, e.g. 'lots'",
    )


def test_a_file_that_changes_or_goes_while_it_is_read_is_refused(
    tmp_path: Path, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "1\n" * 100)
    monkeypatch.setattr(csv_file, "PIECE_BYTES", 64)
    for change in (lambda: path.write_text("x\n2\n"), path.unlink):
        reading = open_source(path)
        frames = reading.frames()
        next(frames)
        change()
        with pytest.raises(SourceError, match=r"was changed while it was read|does not exist"):
            list(frames)


def test_a_full_disk_is_one_sentence(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Blobs, path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Blobs, "take_file", full)
    with pytest.raises(
        StorageError, match=r"cannot be stored \(No space left on device\); nothing was registered"
    ):
        build(ROWS, blobs)
    assert not [path for path in blobs.root.iterdir() if path.is_file()]


def test_frames_of_others(blobs: Blobs) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = arrow.table({"x": [1, 2], "s": ["a", None]})
    expected = fingerprint_frame(pl.DataFrame({"x": [1, 2], "s": ["a", None]}))
    for frame in (table, pandas.DataFrame({"x": [1, 2], "s": ["a", None]}, index=[7, 9])):
        assert build(frame, blobs).draft.fingerprint == expected
    with pytest.raises(SourceError, match="give every column one type"):
        build(pandas.DataFrame({"x": [1, "a", object()]}), blobs)


@pytest.mark.parametrize("source", [7, None, ["a.csv"], {"x": [1]}])
def test_what_is_no_source_says_what_is(source: Any) -> None:
    with pytest.raises(HoldfastError, match="is no source of rows"):
        open_source(source)


_COLUMNS = st.fixed_dictionaries(
    {
        "i": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=30),
        "f": st.lists(st.none() | st.floats(), max_size=30),
        "s": st.lists(st.none() | st.sampled_from("abc"), max_size=30),
    }
)


@settings(max_examples=60, deadline=None)
@given(_COLUMNS, st.lists(st.integers(0, 30), max_size=3))
def test_facts_of_pieces_are_those_of_the_whole(columns: dict[str, list[Any]], cuts: list[int]) -> None:
    height = min(len(values) for values in columns.values())
    schema = {"i": pl.Int64, "f": pl.Float64, "s": pl.String}
    frame = pl.DataFrame({name: values[:height] for name, values in columns.items()}, schema=schema)
    facts = Facts()
    edges = [0, *sorted(min(cut, height) for cut in cuts), height]
    for start, end in pairwise(edges):
        facts.add(frame.slice(start, end - start))
    assert facts.fields(PLAIN) == infer_fields(frame, PLAIN)
    if height:
        again = Facts.of_contract(facts.fields(PLAIN), height)
        again.add(frame)
        assert again.fields(PLAIN) == infer_fields(pl.concat([frame, frame]), PLAIN)


def test_formats_are_found_over_many_pieces() -> None:
    days = pl.select(pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 1, 1)).cast(pl.String).alias("day"))
    frame = days.with_columns(mixed=pl.when(pl.int_range(pl.len()) == 300).then(pl.lit("x")).otherwise("day"))
    facts = Facts()
    for piece in frame.iter_slices(70):
        facts.add(piece)
    assert [field.format for field in facts.fields(PLAIN)] == ["date", None]
    assert facts.fields(PLAIN) == infer_fields(frame, PLAIN)


def test_a_version_is_typed(blobs: Blobs) -> None:
    version: DatasetVersion = version_of(build(ROWS, blobs).draft)
    assert msgspec.json.decode(msgspec.json.encode(version), type=DatasetVersion) == version
