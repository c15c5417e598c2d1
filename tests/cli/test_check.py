"""`holdfast check` and `holdfast contract` as CI and people use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from holdfast.base.home import Home
from tests.cli.test_commands import end
from tests.server.conftest import holdfast

GOOD = "at,price,city,mail\n" + "".join(
    f"2026-01-{day:02}T07:00:00,{day}.5,{'ab'[day % 2]},user{day}@example.org\n" for day in range(1, 29)
)


@pytest.fixture(scope="module")
def inferred(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("inferred")
    (folder / "sales.csv").write_text(GOOD)
    return run(folder, "contract", "infer", "sales.csv", "--time", "at").stdout


@pytest.fixture
def folder(tmp_path: Path, inferred: str) -> Iterator[Path]:
    (tmp_path / "sales.csv").write_text(GOOD)
    (tmp_path / "sales.yaml").write_text(inferred)
    yield tmp_path
    end(Home(tmp_path / "home"))


def run(folder: Path, *arguments: str):
    return holdfast(Home(folder / "home"), *arguments)


def test_an_inferred_contract_reads_well_and_is_kept(folder: Path) -> None:
    assert (folder / "sales.yaml").read_text().splitlines()[1:] == [
        "contract: sales",
        "version: 1",
        "fields:",
        "  at: {type: string, role: time, format: datetime}",
        "  price: {type: float, range: [1.5, 28.5]}",
        "  city: {type: string, categories: [a, b]}",
        "  mail: {type: string, categories: ["
        + ", ".join(sorted(f"user{day}@example.org" for day in range(1, 29)))
        + "]}",
    ]
    done = run(folder, "check", "sales.csv", "-c", "sales.yaml")
    assert (done.returncode, done.stdout) == (
        0,
        "sales.csv: 28 rows; it keeps the contract sales@1 (0 errors, 0 warnings)\n",
    )


def test_every_violation_is_told_with_its_rows(folder: Path) -> None:
    edited = (folder / "sales.yaml").read_text().replace("version: 1\n", "version: 2\nunique: [[at]]\n")
    edited = edited.replace("categories: [a, b]", "categories: [a, b], hard: true")
    (folder / "sales.yaml").write_text(edited.split("  mail:")[0] + "  mail: {type: string, format: email}\n")
    bad = GOOD.replace("2.5,a", "many,c", 1).replace("2026-01-05T07:00:00,5.5", "2026-01-04T07:00:00,99")
    (folder / "sales.csv").write_text(bad.replace("user28@", "user28", 1))
    done = run(
        folder, "check", "sales.csv", "-c", "sales.yaml", "--json", "--junit", "j.xml", "--markdown", "m.md"
    )
    assert done.returncode == 1, done.stderr
    found = [
        (item["severity"], item["field"], item["kind"], item["rows"])
        for item in json.loads(done.stdout)["violations"]
    ]
    assert found == [
        ("error", "price", "invalid_field", [2]),
        ("warning", "price", "range", [5]),
        ("error", "city", "category", [2]),
        ("warning", "mail", "format", [28]),
        ("error", "at", "duplicate", []),
    ]
    suite = ElementTree.parse(folder / "j.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "4", "3")
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert failed == {"price", "city", "at"}
    markdown = (folder / "m.md").read_text()
    assert markdown.startswith("### sales.csv breaks the contract sales@2\n\n28 rows, 3 errors, 2 warnings.")
    assert "| **error** | city | 1 | city: 'c' is an unknown category;" in markdown


def test_warnings_fail_only_when_asked(folder: Path) -> None:
    (folder / "sales.csv").write_text(GOOD.replace("28.5", "280.5"))
    assert run(folder, "check", "sales.csv", "-c", "sales.yaml").returncode == 0
    assert run(folder, "check", "sales.csv", "-c", "sales.yaml", "--strict").returncode == 1


def test_expectations_are_plain_functions(folder: Path) -> None:
    (folder / "rules.py").write_text(
        "import polars as pl\n"
        "def expect_prices_below_28(sales):\n"
        '    """prices stay below 28"""\n'
        "    return pl.col('price') < 28\n"
        "def expect_rows(sales):\n"
        "    assert sales.height > 100, f'only {sales.height} rows'\n"
        "def expect_nothing(sales):\n"
        "    return True\n"
    )
    done = run(folder, "check", "sales.csv", "-c", "sales.yaml", "--expect", "rules.py")
    assert done.returncode == 1
    assert "expect_prices_below_28: not so in 1 of 28 rows: prices stay below 28" in done.stdout
    assert "expect_rows: only 28 rows" in done.stdout
    (folder / "rules.py").write_text("def expect_sense(sales):\n    return 1 / 0\n")
    done = run(folder, "check", "sales.csv", "-c", "sales.yaml", "--expect", "rules.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "holdfast: expect_sense raised ZeroDivisionError: division by zero; correct"
    )


def test_a_change_of_contract_is_classified(folder: Path) -> None:
    edited = (folder / "sales.yaml").read_text().replace("range: [1.5, 28.5]", "range: [1.5, 30], hard: true")
    (folder / "new.yaml").write_text(edited)
    done = run(folder, "contract", "diff", "sales.yaml", "new.yaml", "--fail-on", "breaking")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "breaking   price is float in 1.5..30 (hard) and was float in 1.5..28.5",
        "sales.yaml → new.yaml: breaking",
    ]
    assert run(folder, "contract", "diff", "new.yaml", "sales.yaml", "--fail-on", "breaking").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "none.csv", "-c", "sales.yaml"), "none.csv does not exist; name an existing file"),
        (("check", "sales.csv", "-c", "none.yaml"), "none.yaml cannot be read (No such file or directory)"),
        (("check", "sales.csv", "-c", "sales"), "there is no ledger at"),
        (("check", "sales.yaml", "-c", "sales.yaml"), "sales.yaml is neither CSV nor Parquet"),
        (("check", "sales.csv", "-c", "sales.yaml", "--expect", "none.py"), "none.py is no file"),
        (("contract", "infer", "sales.csv", "--label", "sold"), "sales has no column 'sold'"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("holdfast: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_is_trained_only_on_rows_that_keep_the_tables_contract(folder: Path) -> None:
    (folder / "shop.py").write_text(
        "import holdfast as hf\n"
        "from sklearn.linear_model import LinearRegression\n"
        'sales = hf.Table("sales", source="sales.csv", time="at", label="price", contract="sales.yaml")\n'
        '@hf.model("shop", table=sales, task="regression")\n'
        "def train(data, params):\n"
        "    return LinearRegression().fit(data.X, data.y)\n"
    )
    closed = (folder / "sales.yaml").read_text().replace("categories: [a, b]", "categories: [a], hard: true")
    (folder / "sales.yaml").write_text(closed)
    done = run(folder, "train", "shop.py")
    assert done.returncode == 1
    assert "city: 'b' is an unknown category; sales@1 expects string, one of 'a'" in done.stderr
    (folder / "sales.yaml").write_text(closed.replace("contract: sales", "contract: rides"))
    done = run(folder, "train", "shop.py")
    assert "sales.yaml is the contract of 'rides', not of the table 'sales'" in done.stderr
    (folder / "sales.yaml").unlink()
    assert "cannot be read (No such file or directory)" in run(folder, "train", "shop.py").stderr
