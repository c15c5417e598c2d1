"""Fixtures that tests of several domains share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.postgresql import cluster, ledger_factory, ledger_location, postgresql_server, postgresql_url

__all__ = ["browser", "cluster", "ledger_factory", "ledger_location", "postgresql_server", "postgresql_url"]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with an empty profile; the test skips where none is installed.

    Both programs are looked for on the PATH, so that nothing is ever downloaded.
    """
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found; on Debian: apt-get install chromium chromium-driver")
    profile: Path = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"] or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


# Kinds of tests (markers) that must not be skipped: CI sets it, so that a missing browser or missing data shows.
# `make test-mlflow` adds "mlflow", because an environment without the client would skip all that it is there for.
_REQUIRED = {name for name in os.environ.get("HOLDFAST_REQUIRE", "").split(",") if name}
_skipped_but_required: list[str] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    kinds = {mark.name for mark in item.iter_markers()}
    elsewhere = "mlflow" in kinds and "mlflow" not in _REQUIRED  # `make test-mlflow` runs these
    if report.skipped and _REQUIRED & kinds and not elsewhere:
        _skipped_but_required.append(item.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that is skipped as a whole has no markers yet; only those of the real client skip so."""
    if report.skipped and "mlflow" in _REQUIRED and "mlflow" in str(report.longrepr):
        _skipped_but_required.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    fine = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if _skipped_but_required and session.exitstatus in fine:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name in _skipped_but_required:
        terminalreporter.line(
            f"FAILED {name} - skipped, but HOLDFAST_REQUIRE={','.join(sorted(_REQUIRED))}", red=True
        )
