"""HTTP around the pages: views run in worker threads, refusals are pages too, forms answer with a redirect."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import jinja2
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from holdfast.base.client import ACTOR_HEADER, PROJECT_HEADER
from holdfast.base.context import Context, context_from
from holdfast.base.errors import HoldfastError, InvalidError, NotFoundError
from holdfast.base.version import VERSION
from holdfast.monitoring.records import ListAlertsRequest
from holdfast.ui import urls
from holdfast.ui.kit import PageRenderer, Site, Tab, html_response_headers
from holdfast.ui.page import PageRequest, Show, View, head
from holdfast.ui.services import PageServices

logger = logging.getLogger(__name__)

Act = Callable[[PageServices, Context, Mapping[str, str], Mapping[str, str]], str]

_JSON = "application/json"
_FORM_BYTES_MOST = 64 << 10
_ALERTS_COUNTED = 100
_encoder = msgspec.json.Encoder(order="sorted")


class Door:
    """Answers requests for pages from the services of one server."""

    def __init__(self, services: PageServices) -> None:
        self._services = services
        self._renderer = PageRenderer(Site(tabs=()), jinja2.PackageLoader("holdfast.ui", "templates"))

    def page(self, path: str, show: Show) -> list[Route]:
        """The routes of a page: as HTML, and as data under the same address with `.json`."""

        async def as_html(request: Request) -> Response:
            return await self._guarded(request, show, self._html)

        async def as_json(request: Request) -> Response:
            return await self._guarded(request, show, _json)

        return [Route(f"{path}.json", as_json), Route(path, as_html)]

    def form(self, path: str, act: Act) -> Route:
        """The route of a form: it acts, then sends the browser to the page that tells of the outcome."""

        async def submit(request: Request) -> Response:
            try:
                fields = await _form_fields(request)
                context = context_of(request)
                target = await run_in_threadpool(act, self._services, context, request.path_params, fields)
                return RedirectResponse(target, status_code=303)
            except Exception as error:
                return await self.refused(request, error)

        return Route(path, submit, methods=["POST"])

    async def missing(self, request: Request) -> Response:
        """The answer where there is no page; a slash too many at the end is forgiven."""
        path = request.url.path
        if path.endswith("/"):
            return RedirectResponse(f"/{path.strip('/')}")
        error = NotFoundError(f"there is nothing at {request.url.path}", hint="start from the overview")
        return await self.refused(request, error)

    async def _guarded(
        self, request: Request, show: Show, answer: Callable[[Context, View], Response]
    ) -> Response:
        try:
            asked = PageRequest(
                quote(request.url.path.removesuffix(".json")),
                dict(request.path_params),
                dict(request.query_params),
                tuple(request.query_params.multi_items()),
                request.url.path.endswith(".json"),
            )
            context = context_of(request)
            return await run_in_threadpool(lambda: answer(context, show(self._services, context, asked)))
        except Exception as error:
            return await self.refused(request, error)

    def _html(self, context: Context, view: View) -> Response:
        body = self._renderer.render(view.template, view.page, site=self._site(context), **view.parts)
        return Response(body, view.status, html_response_headers())

    def _site(self, context: Context) -> Site:
        request = ListAlertsRequest(state="open", limit=_ALERTS_COUNTED)
        alerts = len(self._services.monitoring.list_alerts(context, request))
        return Site(
            tabs=(
                Tab("Overview", urls.OVERVIEW),
                Tab("Deployments", urls.DEPLOYMENTS),
                Tab("Alerts", urls.ALERTS, alerts),
                Tab("Decisions", urls.DECISIONS),
                Tab("Runs", urls.RUNS),
                Tab("Datasets", urls.DATASETS),
            ),
            project=context.project,
            jump_url=urls.JUMP,
            version=VERSION,
            clock_simulated=self._services.clock.simulated,
        )

    async def refused(self, request: Request, error: Exception) -> Response:
        """A refusal in the shape the caller reads: a page for browsers, the one error shape for programs."""
        if not isinstance(error, HoldfastError):
            logger.exception("unexpected error at %s", request.url.path, exc_info=error)
            error = HoldfastError("something went wrong inside holdfast", hint="its log has the details")
        wants_page = "text/html" in request.headers.get("accept", "")
        if request.url.path.endswith(".json") or not wants_page:
            return Response(_encoder.encode(error.envelope()), error.status, media_type=_JSON)
        return await run_in_threadpool(self._refusal_page, request, error)

    def _refusal_page(self, request: Request, error: HoldfastError) -> Response:
        title = "Not here" if error.status == 404 else "Not done" if error.status < 500 else "It failed"
        page = head(self._services, PageRequest(request.url.path), title, tab="", live=False)
        page = msgspec.structs.replace(page, json_url="")
        context = context_from(None, None)
        parts = {"sentence": str(error), "back_url": _back(request), "code": error.error_code}
        return self._html(context, View("refused.html", page, None, parts, error.status))


def context_of(request: Request) -> Context:
    """Who asks, and for which project; a browser says neither, so the user of the system acts.

    Raises:
        InvalidError: the project's or the actor's name is not a legal one.
    """
    return context_from(request.headers.get(ACTOR_HEADER), request.headers.get(PROJECT_HEADER))


def _json(context: Context, view: View) -> Response:
    return Response(_encoder.encode(view.data), view.status, {"Cache-Control": "no-store"}, _JSON)


async def _form_fields(request: Request) -> dict[str, str]:
    """The fields of a form. Browsers send these urlencoded; nothing here uploads files."""
    body = await request.body()
    if len(body) > _FORM_BYTES_MOST:
        raise InvalidError(f"a form of {len(body)} bytes is more than the {_FORM_BYTES_MOST} that are taken")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidError(f"the form cannot be read: {error}") from None


def _back(request: Request) -> str:
    """The page the reader came from, where that is one of ours."""
    referer: Any = request.headers.get("referer", "")
    base = str(request.base_url)
    return "/" + referer.removeprefix(base).lstrip("/") if referer.startswith(base) else urls.OVERVIEW
