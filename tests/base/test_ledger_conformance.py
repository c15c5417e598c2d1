"""What every ledger must do, whichever database holds it: a new backend passes these before anything else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError, HomeError, InvalidError, UnavailableError
from holdfast.base.ledger import IntegrityError, Ledger, Migration, Transaction
from tests.postgresql import LedgerFactory

NOTES = Migration(
    "notes",
    1,
    (
        "CREATE TABLE note (number {serial}, text TEXT NOT NULL UNIQUE)",
        "CREATE TABLE thing (name TEXT PRIMARY KEY, size {integer}, weight {real}, content {bytes}, flag INTEGER)",
    ),
)


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    return ledger_factory([NOTES])


def add(text: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.insert("INSERT INTO note (text) VALUES (?)", (text,))


def texts(ledger: Ledger) -> list[str]:
    with ledger.read() as reader:
        return [row["text"] for row in reader.query("SELECT text FROM note ORDER BY number")]


def test_a_change_is_there_once_write_returns(ledger):
    assert [ledger.write(add(text)) for text in ("one", "two")] == [1, 2]
    assert texts(ledger) == ["one", "two"]


def test_a_change_that_raises_leaves_nothing_and_harms_no_other(ledger):
    def fails(tx: Transaction) -> None:
        tx.insert("INSERT INTO note (text) VALUES (?)", ("half",))
        raise ValueError("no")

    ready = threading.Barrier(17)
    failures: list[Exception] = []

    def write(index: int) -> None:
        ready.wait()
        try:
            ledger.write(fails if index % 2 == 0 else add(f"note {index}"))
        except ValueError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(index,)) for index in range(17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 9
    assert sorted(texts(ledger)) == sorted(f"note {index}" for index in range(1, 17, 2))


def test_a_row_that_breaks_a_rule_is_a_conflict_of_its_caller_alone(ledger):
    ledger.write(add("one"))
    with pytest.raises(IntegrityError) as raised:
        ledger.write(add("one"))
    assert (raised.value.status, raised.value.retryable) == (409, False)
    with pytest.raises(IntegrityError):
        ledger.write(lambda tx: tx.execute("INSERT INTO note (text) VALUES (?)", (None,)))
    ledger.write(add("two"))
    assert texts(ledger) == ["one", "two"]


def test_what_is_written_is_read_within_the_change(ledger):
    def change(tx: Transaction) -> tuple[int, str]:
        number = add("one")(tx)
        changed = tx.execute("UPDATE note SET text = ? WHERE number = ?", ("two", number))
        row = tx.one("SELECT text FROM note WHERE number = ?", (number,))
        return changed, row["text"]

    assert ledger.write(change) == (1, "two")


def test_readers_see_one_snapshot(ledger):
    ledger.write(add("one"))
    with ledger.read() as reader:
        assert len(reader.query("SELECT text FROM note")) == 1
        ledger.write(add("two"))
        assert len(reader.query("SELECT text FROM note")) == 1
        assert len(list(reader.iterate("SELECT text FROM note WHERE number < ?", (9,)))) == 1
    assert texts(ledger) == ["one", "two"]


def test_readers_cannot_write(ledger):
    with ledger.read() as reader, pytest.raises(Exception, match=r"readonly|read-only"):
        reader.query("INSERT INTO note (text) VALUES ('x') RETURNING number")
    assert texts(ledger) == []


def test_many_read_at_once_and_within_each_other(ledger):
    ledger.write(add("one"))
    with ledger.read() as first, ledger.read() as second:
        assert first.one("SELECT text FROM note")["text"] == second.one("SELECT text FROM note")["text"]
    assert texts(ledger) == ["one"]


def test_no_increment_is_lost_between_threads(ledger):
    ledger.write(lambda tx: tx.execute("INSERT INTO thing (name, size) VALUES ('counter', 0)"))

    def increment(tx: Transaction) -> None:
        size = tx.one("SELECT size FROM thing WHERE name = 'counter'")["size"]
        tx.execute("UPDATE thing SET size = ? WHERE name = 'counter'", (size + 1,))

    def work() -> None:
        for _ in range(25):
            ledger.write(increment)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as reader:
        assert reader.one("SELECT size FROM thing")["size"] == 200


@pytest.mark.parametrize(
    ("sql", "parameters", "found"),
    [
        ("SELECT '?' AS x", (), "?"),
        ("SELECT 'it''s ?' AS x WHERE 1 = ?", (1,), "it's ?"),
        ("SELECT ? AS x -- why?\n WHERE 2 = ?", ("a", 2), "a"),
        ("SELECT CAST(? AS INTEGER) + 1 AS x", (41,), 42),
        ("SELECT COUNT(*) AS x FROM (SELECT 'a%b' AS t) AS s WHERE t LIKE '%' || ? || '%'", ("%",), 1),
        ("SELECT COUNT(*) AS x FROM (SELECT 5 % 3 AS t) AS s WHERE t = ?", (2,), 1),
    ],
)
def test_placeholders_are_what_they_look_like(ledger, sql, parameters, found):
    with ledger.read() as reader:
        assert reader.one(sql, parameters)["x"] == found


VALUES = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.integers(-(2**63), 2**63 - 1) | st.none(),
    st.floats(allow_nan=False) | st.none(),
    st.binary() | st.none(),
    st.booleans(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_every_value_comes_back_as_it_was(ledger, values):
    def put(tx: Transaction) -> None:
        tx.execute("DELETE FROM thing")
        tx.execute("INSERT INTO thing (name, size, weight, content, flag) VALUES (?, ?, ?, ?, ?)", values)

    ledger.write(put)
    with ledger.read() as reader:
        row = reader.one("SELECT name, size, weight, content, flag FROM thing")
    assert (row["name"], row["size"], row["weight"], row["content"], bool(row["flag"])) == values
    assert dict(row)["name"] == values[0]


def test_what_cannot_be_stored_is_the_mistake_of_its_caller(ledger):
    with pytest.raises(InvalidError, match="cannot be stored"):
        ledger.write(lambda tx: tx.execute("INSERT INTO thing (name, size) VALUES ('x', ?)", (2**63,)))
    ledger.write(add("next"))
    assert texts(ledger) == ["next"]


def test_sums_of_integers_are_integers(ledger):
    ledger.write(
        lambda tx: tx.execute_many(
            "INSERT INTO thing (name, size) VALUES (?, ?)", [("a", 2**40), ("b", 2), ("c", None)]
        )
    )
    with ledger.read() as reader:
        row = reader.one("SELECT SUM(size) AS total, COUNT(size) AS count, MAX(size) AS most FROM thing")
    assert (row["total"], row["count"], row["most"]) == (2**40 + 2, 2, 2**40)
    assert isinstance(row["total"], int)


def test_texts_are_ordered_by_their_bytes(ledger):
    words = ["b", "B", "a b", "a-b", "ab", "Ä", "a", "_", "é", "Z"]
    ledger.write(
        lambda tx: tx.execute_many("INSERT INTO note (text) VALUES (?)", [(word,) for word in words])
    )
    with ledger.read() as reader:
        rows = reader.query("SELECT text FROM note WHERE text > ? ORDER BY text", ("A",))
    assert [row["text"] for row in rows] == sorted((word for word in words if word > "A"), key=str.encode)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 111, 2345])
def test_many_rows_arrive_once_each(ledger, count):
    ledger.write(
        lambda tx: tx.execute_many(
            "INSERT INTO thing (name, size) VALUES (?, ?) ON CONFLICT DO NOTHING",
            ((f"{index % 2000}", index) for index in range(count)),
        )
    )
    with ledger.read() as reader:
        sizes = [row["size"] for row in reader.iterate("SELECT size FROM thing ORDER BY size")]
    assert sizes == list(range(min(count, 2000)))


def test_an_upsert_may_meet_a_row_twice(ledger):
    ledger.write(
        lambda tx: tx.execute_many(
            "INSERT INTO thing (name, size) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET size = excluded.size",
            [("a", 1), ("b", 2), ("a", 3)],
        )
    )
    with ledger.read() as reader:
        assert [row["size"] for row in reader.query("SELECT size FROM thing ORDER BY name")] == [3, 2]


def test_an_upsert_of_many_rows_changes_those_that_are_there_and_adds_the_others(ledger):
    upsert = (
        "INSERT INTO thing (name, size, weight) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, weight = excluded.weight"
        " WHERE excluded.size > thing.size"
    )
    ledger.write(lambda tx: tx.execute_many(upsert, [(f"t{i}", 2**40 * (i % 2), 0.5) for i in range(500)]))
    ledger.write(
        lambda tx: tx.execute_many(upsert, [(f"t{i}", 7, None if i % 3 else 1.5) for i in range(1234)])
    )
    with ledger.read() as reader:
        rows = reader.query("SELECT name, size, weight FROM thing")
    assert {row["name"]: (row["size"], row["weight"]) for row in rows} == {
        f"t{i}": (2**40, 0.5) if i < 500 and i % 2 else (7, None if i % 3 else 1.5) for i in range(1234)
    }


def test_everything_is_there_after_opening_again(ledger_factory):
    first = ledger_factory([NOTES])
    first.write(add("one"))
    first.close()
    with pytest.raises(UnavailableError, match="closed"):
        first.write(add("two"))
    again = ledger_factory([NOTES])
    assert texts(again) == ["one"]
    assert again.write(add("two")) == 2


def test_migrations_run_once_and_in_order(ledger_factory):
    ledger_factory([NOTES]).close()
    second = Migration("notes", 2, ("ALTER TABLE note ADD COLUMN mark TEXT",))
    for _ in range(2):
        ledger = ledger_factory([NOTES, second])
        ledger.write(lambda tx: tx.execute("UPDATE note SET mark = 'x'"))
        ledger.close()


def test_a_newer_schema_is_refused(ledger_factory):
    ledger_factory([NOTES, Migration("future", 7, ("CREATE TABLE later (x TEXT)",))]).close()
    for opening in (ledger_factory, ledger_factory.read_only):
        with pytest.raises(HomeError, match=r"newer holdfast.*future 7.*pip install -U holdfast"):
            opening([NOTES])


def test_a_migration_that_fails_leaves_nothing(ledger_factory):
    with pytest.raises(HoldfastError):
        ledger_factory([NOTES, Migration("bad", 1, ("CREATE TABLE good (x TEXT)", "CREATE TABEL bad"))])
    assert ledger_factory([NOTES]).write(add("one")) == 1


def test_read_only_reads_beside_the_writer_and_never_writes(ledger, ledger_factory):
    ledger.write(add("one"))
    reading = ledger_factory.read_only([NOTES])
    assert texts(reading) == ["one"]
    with pytest.raises(UnavailableError, match="holdfast server"):
        reading.write(add("two"))
    with reading.leading() as term:
        assert term is None


def test_read_only_names_a_missing_ledger(ledger_factory):
    with pytest.raises(HomeError, match="there is no ledger"):
        ledger_factory.read_only([NOTES])


def test_the_only_one_leads_and_its_term_stays(ledger):
    terms = []
    for index in range(3):
        with ledger.leading() as term:
            ledger.write(add(f"led {index}"))
            terms.append(term)
    assert terms[0] is not None
    assert len(set(terms)) == 1
    assert texts(ledger) == ["led 0", "led 1", "led 2"]
