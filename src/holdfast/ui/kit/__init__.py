"""The page kit: tokens, script, charts, tables, badges and page parts that every page is built from.

The kit knows nothing of models or deployments. It imports markupsafe, jinja2 and msgspec alone; a page
module gives it titles, links, numbers and times. `/-/patterns` (`patterns.patterns_page`) shows every
component and is the visual test fixture.

Start here: `page.PageRenderer` renders a template that extends `kit/base.html`; `table` and `charts`
return ready Markup; templates import the macros of `kit/parts.html`.
"""

from holdfast.ui.kit.assets import asset, asset_url
from holdfast.ui.kit.badges import badge
from holdfast.ui.kit.page import Crumb, Page, PageRenderer, Site, Tab, html_response_headers
from holdfast.ui.kit.parts import Choices, Event, Fact, QueryBox, Tile
from holdfast.ui.kit.table import Paging, Selecting, Sorting, render_table, table
from holdfast.ui.kit.table_query import Choice, Column, Row

__all__ = [
    "Choice",
    "Choices",
    "Column",
    "Crumb",
    "Event",
    "Fact",
    "Page",
    "PageRenderer",
    "Paging",
    "QueryBox",
    "Row",
    "Selecting",
    "Site",
    "Sorting",
    "Tab",
    "Tile",
    "asset",
    "asset_url",
    "badge",
    "html_response_headers",
    "render_table",
    "table",
]
