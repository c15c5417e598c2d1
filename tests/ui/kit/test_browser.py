"""The patterns page in a real browser, under the real Content-Security-Policy."""

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from holdfast.ui.kit.assets import ASSET_PATH, asset
from holdfast.ui.kit.page import html_response_headers
from holdfast.ui.kit.patterns import PATTERNS_URL, SAMPLE_NOW_AT, patterns_page

pytestmark = pytest.mark.browser

_MINUTE_US = 60_000_000


class _Handler(BaseHTTPRequestHandler):
    """Serves the patterns page, one simulated minute later each time, and its assets."""

    minutes = itertools.count()
    failing = threading.Event()
    posted: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith(ASSET_PATH):
            content, content_type, _ = asset(parts.path.removeprefix(ASSET_PATH))
            self._answer(200, {"Content-Type": content_type}, content)
        elif self.failing.is_set():
            self._answer(503, {}, b"")
        else:
            query = dict(parse_qsl(parts.query))
            now_at = SAMPLE_NOW_AT + next(self.minutes) * _MINUTE_US
            page = patterns_page(now_at, query, refresh_s=float(query.get("refresh", "0")))
            self._answer(200, dict(html_response_headers()), page.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.posted.append(body.decode())
        self._answer(303, {"Location": PATTERNS_URL}, b"")

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{PATTERNS_URL}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def page(browser: Chrome, address: str) -> Iterator[Chrome]:
    """The open page; afterwards the console must be free of errors, which include policy violations."""
    _width(browser, 1280)
    browser.get_log("browser")
    browser.get(address)
    yield browser
    _Handler.failing.clear()
    browser.execute_script("localStorage.clear()")
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry["message"] for entry in severe if "503" not in entry["message"]] == []


def _width(browser: Chrome, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def _press(page: Chrome, *keys: str) -> None:
    ActionChains(page).send_keys(*keys).perform()


def _focused(page: Chrome) -> str:
    return str(page.execute_script("return document.activeElement.textContent.trim()"))


def _until(page: Chrome, script: str) -> None:
    WebDriverWait(page, 8, poll_frequency=0.05).until(lambda _: page.execute_script(f"return {script}"))


def test_slash_jumps_and_escape_leaves(page: Chrome) -> None:
    _press(page, "/")
    assert page.switch_to.active_element.get_attribute("data-jump") is not None
    _press(page, "j")
    assert page.switch_to.active_element.get_attribute("value") == "j", "keys are text while typing"
    _press(page, Keys.ESCAPE)
    assert page.switch_to.active_element.tag_name == "body"


def test_j_and_k_move_rows_and_enter_opens(page: Chrome) -> None:
    _press(page, "j", "j", "j")
    assert _focused(page) == "train-0146"
    _press(page, "k")
    assert _focused(page) == "train-0147"
    _press(page, Keys.ENTER)
    _until(page, "location.hash === '#run-147'")


def test_a_click_anywhere_in_a_row_opens_it(page: Chrome) -> None:
    cell = page.find_element(By.CSS_SELECTOR, "tbody tr:nth-child(2) td:nth-child(5)")
    ActionChains(page).scroll_to_element(cell).move_to_element(cell).click().perform()
    _until(page, "location.hash === '#run-147'")


def test_question_mark_shows_the_keys(page: Chrome) -> None:
    _press(page, "?")
    assert page.find_element(By.CSS_SELECTOR, "dialog[open]").is_displayed()
    _press(page, Keys.ESCAPE)
    assert not page.find_elements(By.CSS_SELECTOR, "dialog[open]")


def test_t_changes_the_theme_and_the_page_remembers(page: Chrome) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(ground)
    _press(page, "t")
    after = page.execute_script(ground)
    assert {before, after} == {"rgb(246, 247, 247)", "rgb(14, 18, 20)"}
    page.refresh()
    assert page.execute_script(ground) == after


def test_copy_says_so_and_copies(page: Chrome, address: str) -> None:
    origin = address.removesuffix(PATTERNS_URL)
    page.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    page.find_element(By.CSS_SELECTOR, '[data-copy="holdfast status bike-demand"]').click()
    _until(page, "document.querySelector('[data-announce]').textContent === 'copied'")
    read = "navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))"
    assert page.execute_async_script(read) == "holdfast status bike-demand"


def test_a_chart_answers_the_pointer_and_the_arrow_keys(page: Chrome) -> None:
    area = page.find_element(By.CSS_SELECTOR, ".chart-area[data-chart]")
    ActionChains(page).move_to_element(area).perform()
    readout = page.find_element(By.CSS_SELECTOR, ".readout").text
    assert "never retrained" in readout
    assert "UTC" in readout
    ActionChains(page).move_to_element(page.find_element(By.TAG_NAME, "h1")).perform()
    assert not page.find_elements(By.CSS_SELECTOR, ".readout")
    page.execute_script("arguments[0].focus()", area)
    _press(page, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert "2012-03-07" in page.find_element(By.CSS_SELECTOR, ".readout").text
    dot = page.find_element(By.CSS_SELECTOR, ".cross-dot").rect
    line = page.find_element(By.CSS_SELECTOR, ".crosshair").rect
    assert abs(dot["x"] + dot["width"] / 2 - line["x"]) < 2


def test_live_nodes_are_swapped_and_the_rest_stays(page: Chrome, address: str) -> None:
    page.get(f"{address}?refresh=0.2")
    page.execute_script("document.querySelector('.banner').dataset.mine = '1'")
    clock = "document.querySelector('[data-live=\"kit-title\"] .simulated').textContent"
    before = page.execute_script(f"return {clock}")
    _until(page, f"{clock} !== {before!r}")
    assert page.execute_script("return document.querySelector('.banner').dataset.mine") == "1"


def test_a_refresh_keeps_the_row_in_focus(page: Chrome, address: str) -> None:
    page.get(f"{address}?refresh=0.2")
    _press(page, "j", "j")
    page.execute_script("window.was = document.querySelector('[data-live=runs]')")
    _until(page, "window.was.isConnected === false")
    assert _focused(page) == "train-0147"


def test_typing_holds_the_refresh(page: Chrome, address: str) -> None:
    page.get(f"{address}?refresh=0.2")
    page.find_element(By.CSS_SELECTOR, "[data-jump]").send_keys("bike")
    clock = "return document.querySelector('[data-live=\"kit-title\"] .simulated').textContent"
    page.execute_async_script("setTimeout(arguments[0], 600)")  # an answer may still be on its way
    before = page.execute_script(clock)
    page.execute_async_script("setTimeout(arguments[0], 700)")
    assert page.execute_script(clock) == before


def test_a_lost_server_is_said_and_its_return_too(page: Chrome, address: str) -> None:
    page.get(f"{address}?refresh=0.2")
    _Handler.failing.set()
    state = "document.querySelector('[data-live-toggle]').dataset.state"
    _until(page, f"{state} === 'lost'")
    assert "no answer since" in page.find_element(By.CSS_SELECTOR, "[data-live-toggle]").text
    _Handler.failing.clear()
    _until(page, f"{state} === 'live'")


def test_the_live_refresh_can_be_paused(page: Chrome, address: str) -> None:
    page.get(f"{address}?refresh=0.2")
    page.find_element(By.CSS_SELECTOR, "[data-live-toggle]").click()
    page.execute_async_script("setTimeout(arguments[0], 300)")
    title = page.find_element(By.CSS_SELECTOR, '[data-live="kit-title"]')
    page.execute_async_script("setTimeout(arguments[0], 600)")
    assert title.is_displayed(), "a swapped node would be stale"
    assert page.find_element(By.CSS_SELECTOR, "[data-live-toggle]").text == "paused"


def test_sorting_filtering_and_paging_are_urls(page: Chrome) -> None:
    page.find_element(By.LINK_TEXT, "Next →").click()
    _until(page, "location.search.includes('runs.page=2')")
    page.find_element(By.PARTIAL_LINK_TEXT, "MAE").click()
    _until(page, "location.search === '?runs.sort=-error'")
    page.find_element(By.CSS_SELECTOR, 'select[name="runs.status"] option[value="succeeded"]').click()
    _until(page, "location.search.includes('runs.status=succeeded')")
    shown = {node.text for node in page.find_elements(By.CSS_SELECTOR, "td .badge")}
    assert shown == {"succeeded"}


def test_an_action_asks_before_it_posts(page: Chrome) -> None:
    button = page.find_element(By.CSS_SELECTOR, ".confirm-panel button")
    assert not button.is_displayed()
    summary = page.find_element(By.CSS_SELECTOR, ".confirm summary")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", summary)
    summary.click()
    button.click()
    _until(page, "!document.querySelector('.confirm[open]')")
    assert _Handler.posted == ["to=2"]


@pytest.mark.parametrize("width", [380, 400, 700, 1024, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_width_scrolls_sideways(page: Chrome, width: int, theme: str) -> None:
    _width(page, width)
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_labels_of_charts_stay_inside_their_cards(page: Chrome) -> None:
    for width in (400, 1280):
        _width(page, width)
        outside = page.execute_script(
            """return [...document.querySelectorAll('.card .chart:not(.chart-lineage) text')].filter(text => {
              const own = text.getBoundingClientRect();
              const card = text.closest('.card').getBoundingClientRect();
              return own.width && (own.left < card.left || own.right > card.right || own.bottom > card.bottom);
            }).map(text => text.textContent)"""
        )
        assert outside == []


def test_every_control_can_be_reached_and_has_a_name(page: Chrome) -> None:
    nameless = page.execute_script(
        """return [...document.querySelectorAll('a, button, input:not([type=hidden]), select')].filter(node =>
          !(node.getAttribute('aria-label') || node.textContent.trim() || node.closest('label'))
        ).map(node => node.outerHTML)"""
    )
    assert nameless == []


def test_the_page_works_without_script(browser: Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        assert not browser.find_elements(By.CSS_SELECTOR, "html.js")
        assert not browser.find_element(By.CSS_SELECTOR, "[data-theme-toggle]").is_displayed()
        browser.find_element(By.LINK_TEXT, "Next →").click()
        assert "runs.page=2" in browser.current_url
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
