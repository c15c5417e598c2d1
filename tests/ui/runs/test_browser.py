"""The pages of runs in a real browser: filter, columns, order, compare, contrast; and nothing hostile runs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.ui import logged
from tests.ui.conftest import PageServer
from tests.ui.runs.conftest import Logged

pytestmark = pytest.mark.browser

# The text of every element against what is behind it, as WCAG counts it; what is too weak comes back.
_WEAK = """
const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
const rgba = text => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const light = c => { const [r, g, b] = c.map(v => linear(v / 255));
  return .2126 * r + .7152 * g + .0722 * b; };
const behind = node => !node ? rgba('white')
  : over(rgba(getComputedStyle(node).backgroundColor), behind(node.parentElement));
return [...document.querySelectorAll('main *, header *, footer *')].filter(node => {
  const style = getComputedStyle(node), box = node.getBoundingClientRect();
  const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
  if (!own || !box.width || style.clipPath !== 'none' || style.opacity === '0') return false;
  if (node.closest('[aria-hidden], [aria-disabled], .prompt, select, .visually-hidden')) return false;
  const under = behind(node), ink = over(rgba(node.closest('svg') ? style.fill : style.color), under);
  const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  const large = parseFloat(style.fontSize) >= 24;
  return ratio < (large ? 3 : 4.5);
}).map(node => `${node.tagName}.${node.getAttribute('class')}: ${node.textContent.trim().slice(0, 30)}`);
"""

_COUNT_FETCHES = """
window.fetched = 0; const real = fetch; window.fetch = (...all) => { fetched += 1; return real(...all); }
"""
_NAMELESS = """
const label = node => node.closest('label');
return [...document.querySelectorAll('a, button, summary, input:not([type=hidden]), select')].filter(node =>
  !(node.getAttribute('aria-label') || node.textContent.trim() || label(node)?.textContent.trim())
).map(node => node.outerHTML)
"""


@pytest.fixture(scope="module")
def address(home: Logged) -> Iterator[str]:
    server = PageServer(home.world)
    yield server.address
    server.stop()


@pytest.fixture
def page(browser: Chrome) -> Iterator[Chrome]:
    """The browser at a usual width; afterwards the console must be free of errors, policy violations included."""
    resize(browser, 1280)
    browser.get_log("browser")
    yield browser
    theme(browser, "light")
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "status of 400" not in message] == []


def resize(browser: Chrome, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def theme(browser: Chrome, name: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def until(page: Chrome, script: str) -> None:
    WebDriverWait(page, 8, poll_frequency=0.05).until(lambda _: page.execute_script(f"return {script}"))


def paths(home: Logged) -> list[str]:
    """One address for each kind of page, with much on it."""
    trials = ",".join(home.trials[:9])
    return [
        "/runs",
        "/runs?filter=metrics.loss < low",
        f"/runs/{home.many}",
        f"/runs/{home.many}/curves?scale=log",
        f"/runs/{home.trials[11]}/curves?metric=loss",
        f"/runs/{home.many}/artifacts",
        f"/runs/{home.many}/artifacts?path=config/settings.json",
        f"/runs/compare?runs={trials}",
        f"/runs/compare?runs={trials}&metric=loss&x=time&param=optimizer",
        "/-/patterns",
    ]


def query(page: Chrome) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.current_url).query)


def test_a_filter_is_typed_and_mended(page: Chrome, address: str) -> None:
    page.get(f"{address}/runs")
    page.find_element(By.NAME, "filter").send_keys("metrics.loss < low", Keys.ENTER)
    until(page, "document.querySelector('mark')?.textContent === 'low'")
    box = page.find_element(By.NAME, "filter")
    assert page.find_element(By.ID, box.get_attribute("aria-describedby") or "").is_displayed()
    box.clear()
    box.send_keys("metrics.loss < 0.5 AND params.optimizer = 'adam'", Keys.ENTER)
    until(page, "document.querySelectorAll('tbody tr').length > 0 && !document.querySelector('mark')")
    assert query(page)["filter"] == ["metrics.loss < 0.5 AND params.optimizer = 'adam'"]
    page.refresh()
    assert page.find_elements(By.CSS_SELECTOR, "tbody tr")


def test_columns_are_ticked_and_sorted_by(page: Chrome, address: str) -> None:
    page.get(f"{address}/runs?experiment={logged.SEARCH}")
    page.find_element(By.XPATH, "//summary[text()='Columns']").click()
    for name in ("metrics.accuracy", "params.epochs"):
        box = page.find_element(By.CSS_SELECTOR, f'input[name="columns"][value="{name}"]')
        if name == "params.epochs" or not box.is_selected():
            box.click()
    page.find_element(By.XPATH, "//button[text()='Show these columns']").click()
    until(page, "location.search.includes('params.epochs')")
    assert query(page)["experiment"] == [logged.SEARCH], "the choice of columns keeps the filter"
    page.find_element(By.LINK_TEXT, "accuracy").click()
    until(page, "location.search.includes('order_by=metrics.accuracy+DESC')")
    shown = page.execute_script(
        "return [...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    heads = page.execute_script(
        "return [...document.querySelectorAll('thead th')].map(head => head.innerText.trim())"
    )
    place = next(index for index, head in enumerate(heads) if head.startswith("accuracy"))
    values = [float(row[place]) for row in shown]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("script", [True, False])
def test_ticked_runs_are_compared(page: Chrome, address: str, script: bool) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    try:
        page.get(f"{address}/runs?filter=metrics.loss < 1&order_by=metrics.loss ASC")
        boxes = page.find_elements(By.CSS_SELECTOR, "tbody input[type=checkbox]")
        assert (boxes[0].get_attribute("aria-label") or "").startswith("Choose trial-")
        for box in boxes[:4]:
            box.click()
        page.find_element(By.XPATH, "//button[text()='Compare chosen runs']").click()
        WebDriverWait(page, 8).until(lambda browser: "/runs/compare" in browser.current_url)
        assert len(query(page)["runs"]) == 4
        assert "Compare 4 runs" in page.find_element(By.TAG_NAME, "h1").text
        page.find_element(By.LINK_TEXT, "leave out").click()
        WebDriverWait(page, 8).until(
            lambda browser: (
                "Compare 3 runs"
                in browser.page_source.replace("</span>", "").replace('<span class="kind">', "")
            )
        )
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_refresh_does_not_untick(page: Chrome, home: Logged, address: str) -> None:
    page.get(f"{address}/runs")
    page.find_element(By.CSS_SELECTOR, "tbody input[type=checkbox]").click()
    page.find_element(By.TAG_NAME, "h1").click()
    page.execute_script(_COUNT_FETCHES)
    home.world.services.logged_runs.create(logged.KIM, "0", name="meanwhile")
    until(page, "fetched > 0")
    page.execute_script("return new Promise(done => setTimeout(done, 300))")
    assert page.find_elements(By.CSS_SELECTOR, "tbody input:checked")


@pytest.mark.parametrize("name", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(
    page: Chrome, home: Logged, address: str, name: str
) -> None:
    theme(page, name)
    for path in paths(home):
        page.get(f"{address}{path}")
        page.execute_script("for (const node of document.querySelectorAll('details')) node.open = true")
        assert page.execute_script(_WEAK) == [], path


def test_weak_text_would_be_found(page: Chrome, address: str) -> None:
    page.get(f"{address}/runs")
    page.execute_script("document.querySelector('h1').style.color = 'color-mix(in srgb, white 70%, black)'")
    assert page.execute_script(_WEAK) == ["H1.null: Runs"]


def test_no_page_scrolls_sideways_and_labels_stay_in_their_cards(
    page: Chrome, home: Logged, address: str
) -> None:
    for width in (400, 1280):
        resize(page, width)
        for path in paths(home):
            page.get(f"{address}{path}")
            assert page.execute_script("return document.documentElement.scrollWidth") <= width, (path, width)
            outside = page.execute_script(
                """return [...document.querySelectorAll('.card .chart:not(.chart-lineage) text')].filter(text => {
                  const own = text.getBoundingClientRect();
                  const card = text.closest('.card').getBoundingClientRect();
                  return own.width && (own.left < card.left || own.right > card.right);
                }).map(text => text.textContent)"""
            )
            assert outside == [], (path, width)


def test_every_control_has_a_name(page: Chrome, home: Logged, address: str) -> None:
    for path in paths(home):
        page.get(f"{address}{path}")
        nameless = page.execute_script(_NAMELESS)
        assert nameless == [], path


def test_nothing_that_a_client_logged_runs(page: Chrome, home: Logged, address: str) -> None:
    names = ("page.html", "drawing.svg", "picture.png")
    for path in (
        f"/runs?experiment={logged.HOSTILE}&columns=params.evil,tags.evil",
        f"/runs/{home.hostile}",
        f"/runs/{home.hostile}/curves?metric=loss",
        f"/runs/compare?runs={home.hostile},{home.trials[0]}",
        *(f"/runs/{home.hostile}/artifacts?path={name}" for name in names),
    ):
        page.get(f"{address}{path}")
        # An alert would be an error of the driver here.
        assert page.find_element(By.TAG_NAME, "h1").text


def test_a_dot_of_the_scatter_plot_opens_its_run(page: Chrome, home: Logged, address: str) -> None:
    page.get(f"{address}/runs/compare?runs={','.join(home.trials[:9])}")
    dot = page.find_element(By.CSS_SELECTOR, ".chart-scatter a")
    assert "learning_rate" in (dot.get_attribute("aria-label") or "")
    page.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))", dot
    )
    until(page, "/^.runs.[0-9a-f]{32}$/.test(location.pathname)")


def test_the_addresses_that_mlflows_client_prints_lead_to_our_pages(
    page: Chrome, home: Logged, address: str
) -> None:
    experiment = home.world.services.logged_runs.get(logged.KIM, home.trials[0]).experiment_id
    for printed, own in (
        (f"/#/experiments/{experiment}/runs/{home.trials[0]}", f"/runs/{home.trials[0]}"),
        (f"/#/experiments/{experiment}", f"/runs?experiment={experiment}"),
    ):
        page.get("about:blank")
        page.get(f"{address}{printed}")
        until(page, f"location.pathname + location.search === {own!r}")
    until(page, "document.querySelector('select[name=experiment]')?.value.includes('hyperparameter')")
