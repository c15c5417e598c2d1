import re
from html.parser import HTMLParser

import jinja2
import pytest

from holdfast.ui.kit.assets import asset, asset_url
from holdfast.ui.kit.badges import VOCABULARY, badge, status
from holdfast.ui.kit.page import Page, PageRenderer, Site, Tab, html_response_headers
from holdfast.ui.kit.patterns import SAMPLE_NOW_AT, patterns_page

_VOID = {"meta", "link", "input", "br"}


class _Balance(HTMLParser):
    """Checks that elements close in the order they opened, and collects ids."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.attributes |= {name for name, _ in attrs}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _render(body: str, page: Page, site: Site | None = None, **context: object) -> str:
    source = '{% extends "kit/base.html" %}{% block content %}' + body + "{% endblock %}"
    renderer = PageRenderer(
        site or Site(tabs=(Tab("Models", "/models"),)), jinja2.DictLoader({"t.html": source})
    )
    return renderer.render("t.html", page, **context)


def test_the_patterns_page_is_balanced_with_unique_ids_and_nothing_inline() -> None:
    parser = _Balance()
    page = patterns_page()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert "style" not in parser.attributes
    assert not {name for name in parser.attributes if name.startswith("on")}
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert "<style" not in page


def test_the_patterns_page_is_the_same_bytes_for_the_same_time() -> None:
    assert patterns_page() == patterns_page()
    assert patterns_page() != patterns_page(SAMPLE_NOW_AT + 10_000_000)


def test_nothing_is_fetched_from_elsewhere() -> None:
    addresses = set(re.findall(r'(?:src|href|action)="(https?:[^"]*|//[^"]*)"', patterns_page()))
    assert addresses == set()
    assert "url(" not in asset("kit.css")[0].decode()
    assert "@import" not in asset("kit.css")[0].decode()


def test_the_head_escapes_and_names_the_current_tab() -> None:
    page = Page(
        title="<i>x</i>",
        now_at=SAMPLE_NOW_AT,
        tab="Models",
        urn='a"b',
        command="holdfast <x>",
        json_url="/x.json",
    )
    html = _render("{{ '<u>' }}", page)
    assert "<i>" not in html
    assert "<u>" not in html
    assert '<a href="/models" aria-current="page">Models</a>' in html
    assert 'data-copy="a&#34;b"' in html
    assert 'data-copy="holdfast &lt;x&gt;"' in html
    assert 'rel="alternate" type="application/json" href="/x.json"' in html


def test_a_simulated_clock_is_marked_and_a_real_one_is_not() -> None:
    page = Page(title="x", now_at=SAMPLE_NOW_AT)
    assert "simulated" in _render("", page, Site(tabs=(), clock_simulated=True))
    assert "simulated" not in _render("", page)


def test_an_undefined_name_in_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        _render("{{ missing }}", Page(title="x", now_at=0))


def test_a_confirmed_action_is_a_plain_form_behind_a_disclosure() -> None:
    body = (
        '{% import "kit/parts.html" as parts %}'
        '{{ parts.action("Roll back", "/x", {"to": "<2>"}, "Really?", tone="danger") }}'
    )
    html = _render(body, Page(title="x", now_at=0))
    assert '<form class="confirm-panel" method="post" action="/x">' in html
    assert '<input type="hidden" name="to" value="&lt;2&gt;">' in html
    assert "<details" in html


def test_assets_have_the_hash_of_their_content_in_their_url() -> None:
    for name in ("kit.css", "kit.js", "favicon.svg"):
        hashed = asset_url(name).rsplit("/", 1)[1]
        content, content_type, etag = asset(hashed)
        assert asset(name) == (content, content_type, etag)
        assert etag.strip('"') in hashed
    for unknown in ("kit.0123456789ab.css", "../page.py", "page.py", "", "kit.css/"):
        with pytest.raises(KeyError):
            asset(unknown)
    with pytest.raises(KeyError):
        asset_url("other.css")


def test_the_policy_allows_no_inline_script_and_no_framing() -> None:
    policy = html_response_headers()["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_each_status_has_word_shape_and_tone_and_an_unknown_one_is_neutral() -> None:
    for word in VOCABULARY:
        assert word in badge(word)
        assert "<svg" in badge(word)
    assert status("Rolled_Back") is status("rolled-back") is VOCABULARY["rolled back"]
    strange = badge("<b>never heard of</b>")
    assert "badge-neutral" in strange
    assert "<b>" not in strange


def test_good_and_bad_never_share_a_shape() -> None:
    shapes = {
        tone: {s.shape for s in VOCABULARY.values() if s.tone == tone} for tone in ("good", "bad", "warn")
    }
    assert not shapes["good"] & shapes["bad"]
    assert not shapes["warn"] & (shapes["good"] | shapes["bad"])
