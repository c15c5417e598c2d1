"""The main pages in a real browser under the real policy: console, keyboard, narrow screens, no script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from holdfast.base.clock import HOUR_US
from tests.ui.conftest import PageServer, Story
from tests.ui.test_pages import addresses
from tests.ui.world import World

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def acted(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which these tests may act."""
    copied = story.copy(tmp_path_factory.mktemp("acted") / "home")
    yield copied
    copied.ledger.close()


@pytest.fixture(scope="module")
def address(acted: World) -> Iterator[str]:
    server = PageServer(acted)
    yield server.address
    server.stop()


@pytest.fixture
def page(browser: Chrome, address: str) -> Iterator[Chrome]:
    """The browser at a usual width; afterwards the console must be free of errors, policy violations included."""
    resize(browser, 1280)
    browser.get_log("browser")
    yield browser
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


def resize(browser: Chrome, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def until(page: Chrome, script: str) -> None:
    WebDriverWait(page, 8, poll_frequency=0.05).until(lambda _: page.execute_script(f"return {script}"))


def test_no_page_scrolls_sideways_or_has_a_nameless_control(page: Chrome, acted: World, address: str) -> None:
    for width in (400, 1280):
        resize(page, width)
        for path in addresses(acted):
            page.get(f"{address}{path}")
            assert page.execute_script("return document.documentElement.scrollWidth") <= width, (path, width)
            nameless = page.execute_script(
                """return [...document.querySelectorAll('a, button, input:not([type=hidden]), select')].filter(node =>
                  !(node.getAttribute('aria-label') || node.textContent.trim() || node.closest('label'))
                ).map(node => node.outerHTML)"""
            )
            assert nameless == [], path


def test_labels_of_charts_stay_inside_their_cards(page: Chrome, acted: World, address: str) -> None:
    for path in ("/models/card-fraud", "/models/card-fraud/versions/2", "/rollouts/1", "/alerts/1"):
        for width in (400, 1280):
            resize(page, width)
            page.get(f"{address}{path}")
            outside = page.execute_script(
                """return [...document.querySelectorAll('.card .chart:not(.chart-lineage) text')].filter(text => {
                  const own = text.getBoundingClientRect();
                  const card = text.closest('.card').getBoundingClientRect();
                  return own.width && (own.left < card.left || own.right > card.right);
                }).map(text => text.textContent)"""
            )
            assert outside == [], (path, width)


def test_the_keyboard_reaches_a_model_from_the_overview(page: Chrome, address: str) -> None:
    page.get(f"{address}/")
    ActionChains(page).send_keys("j", "j", Keys.ENTER).perform()
    until(page, "location.pathname === '/models/card-fraud'")
    ActionChains(page).send_keys("/").send_keys("bike-demand", Keys.ENTER).perform()
    until(page, "location.pathname === '/models/bike-demand'")


def test_the_page_follows_the_simulated_clock(page: Chrome, acted: World, address: str) -> None:
    page.get(f"{address}/")
    clock = "document.querySelector('[data-live=\"kit-title\"] .simulated').textContent"
    before = page.execute_script(f"return {clock}")
    acted.clock.advance(acted.clock.now() + HOUR_US)
    until(page, f"{clock} !== {before!r}")


def test_the_quality_chart_answers_the_arrow_keys(page: Chrome, address: str) -> None:
    page.get(f"{address}/models/card-fraud")
    area = page.find_element(By.CSS_SELECTOR, '[data-live="quality"] .chart-area')
    page.execute_script("arguments[0].focus()", area)
    ActionChains(page).send_keys(*[Keys.ARROW_LEFT] * 30).perform()
    assert "as served" in page.find_element(By.CSS_SELECTOR, ".readout").text


def test_a_rollback_works_without_script(page: Chrome, acted: World, address: str) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.get(f"{address}/deployments/production/card-fraud")
        summary = next(
            node
            for node in page.find_elements(By.CSS_SELECTOR, ".confirm summary")
            if "Roll back" in node.text
        )
        summary.click()
        page.find_element(By.CSS_SELECTOR, ".confirm[open] button").click()
        WebDriverWait(page, 8).until(lambda browser: "decision=" in browser.current_url)
        told = page.find_element(By.TAG_NAME, "main").text
        assert "Version 2 rolled back" in told
        assert "Traffic now: version 1 100%." in told
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
