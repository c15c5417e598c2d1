"""One page: its head, its place in the site, and the headers it is sent with."""

import jinja2
import msgspec

from holdfast.ui.kit.environment import environment

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Tab(msgspec.Struct, frozen=True):
    """One noun in the navigation; `count` is a number worth knowing before the click (open alerts)."""

    title: str
    url: str
    count: int = 0


class Crumb(msgspec.Struct, frozen=True):
    """One step of the way from the start page to this one."""

    title: str
    url: str


class Site(msgspec.Struct, frozen=True):
    """What all pages of one server share."""

    tabs: tuple[Tab, ...]
    project: str = "default"
    environment: str = ""
    home_url: str = "/"
    jump_url: str = "/-/jump"
    version: str = ""
    clock_simulated: bool = False


class Page(msgspec.Struct, frozen=True):
    """The head of one page.

    `now_at` is the domain time of rendering (microseconds, UTC). `command` prints the same facts in the
    terminal, without the `$`. `refresh_s` is the period of the live refresh; 0 turns it off. `tab` is the
    title of the current tab.
    """

    title: str
    now_at: int
    tab: str = ""
    kind: str = ""
    subtitle: str = ""
    status: str = ""
    urn: str = ""
    command: str = ""
    json_url: str = ""
    crumbs: tuple[Crumb, ...] = ()
    refresh_s: float = 0.0


class PageRenderer:
    """Renders templates that extend `kit/base.html`.

    `pages` finds the caller's own templates, for example `jinja2.PackageLoader("holdfast.ui", "templates")`.

    Example::

        renderer = PageRenderer(Site(tabs=(Tab("Overview", "/"),)), jinja2.DictLoader({...}))
        html = renderer.render("overview.html", Page(title="Overview", now_at=clock.now()), tiles=tiles)
    """

    def __init__(self, site: Site, pages: jinja2.BaseLoader | None = None) -> None:
        self.site = site
        self._environment = environment(pages)

    def render(self, template: str, page: Page, *, site: Site | None = None, **context: object) -> str:
        """Return the HTML of one page; `site` replaces the shared one where counts or the project differ.

        Raises jinja2.UndefinedError when the template names something the context does not have.
        """
        return self._environment.get_template(template).render(page=page, site=site or self.site, **context)


def html_response_headers() -> dict[str, str]:
    """Return the headers every HTML answer carries: no script or style but our own files, no framing."""
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
