"""The one table of all pages and forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from holdfast.base.errors import NotFoundError
from holdfast.ui import (
    actions,
    alerts,
    alias_requests,
    datasets,
    decisions,
    deployments,
    jump,
    models,
    overview,
    rollouts,
    urls,
    versions,
)
from holdfast.ui.door import Act, Door, context_of
from holdfast.ui.kit.assets import ASSET_CACHE_CONTROL, ASSET_PATH, asset
from holdfast.ui.kit.page import html_response_headers
from holdfast.ui.kit.patterns import PATTERNS_URL, patterns_page
from holdfast.ui.page import Show
from holdfast.ui.patience import LastKnown
from holdfast.ui.runs import artifacts, compare_page, curve_pages, listing, summary
from holdfast.ui.runs.files import send_file
from holdfast.ui.services import PageServices

PAGES: tuple[tuple[str, Show], ...] = (
    (urls.OVERVIEW, overview.show),
    ("/models/{name}", models.show),
    ("/models/{name}/versions/{version}", versions.show),
    (urls.DEPLOYMENTS, deployments.show_list),
    ("/deployments/{environment}/{name}", deployments.show),
    (urls.ROLLOUTS, rollouts.show_list),
    ("/rollouts/{number}", rollouts.show),
    (urls.ALERTS, alerts.show_list),
    ("/alerts/{number}", alerts.show),
    (urls.DECISIONS, decisions.show_list),
    ("/decisions/{number}", decisions.show),
    (urls.RUNS, listing.show),
    (urls.COMPARE, compare_page.show),
    ("/runs/{run_id}", summary.show),
    ("/runs/{run_id}/curves", curve_pages.show),
    ("/runs/{run_id}/system", curve_pages.show_system),
    ("/runs/{run_id}/artifacts", artifacts.show),
    (urls.ALIAS_REQUESTS, alias_requests.show),
    (urls.DATASETS, datasets.show_list),
    ("/datasets/{table}/versions/{version}", datasets.show),
)

FORMS: tuple[tuple[str, Act], ...] = (
    ("/models/{name}/train", actions.train),
    ("/models/{name}/versions/{version}/approve", actions.approve),
    ("/deployments/{environment}/{name}/rollback", actions.rollback),
    ("/deployments/{environment}/{name}/promote", actions.promote),
    ("/deployments/{environment}/{name}/abort", actions.abort),
    ("/deployments/{environment}/{name}/resume", actions.resume),
    ("/alias-requests/{number}/approve", actions.approve_request),
    ("/alias-requests/{number}/decline", actions.decline_request),
    ("/runs/{run_id}/delete", actions.delete_run),
    ("/runs/{run_id}/restore", actions.restore_run),
)


def page_routes(services: PageServices) -> list[Route]:
    """The routes of all pages, their data, their forms and their files.

    The last one answers every other GET: a page for browsers, the one error shape for programs.
    """
    if services.counterfactual is not None:
        services = replace(services, counterfactual=LastKnown(services.counterfactual))
    door = Door(services)
    return [
        *(route for path, show in PAGES for route in door.page(path, show)),
        *_jump(services, door),
        *(door.form(path, act) for path, act in FORMS),
        Route("/runs/{run_id}/file", send_file(services, door)),
        Route("/models", _redirect(urls.OVERVIEW)),
        Route(PATTERNS_URL, _patterns(services)),
        Route(f"{ASSET_PATH}{{name}}", _static(door)),
        Route("/{path:path}", door.missing),
    ]


def _jump(services: PageServices, door: Door) -> list[Route]:
    """The jump box: one meaning is a redirect, several are a list."""
    as_json, as_page = door.page(urls.JUMP, jump.show)

    async def answer(request: Request) -> Response:
        query = request.query_params.get("q", "")
        try:
            found = await run_in_threadpool(jump.targets, services, context_of(request), query)
        except Exception as error:
            return await door.refused(request, error)
        if len(found) == 1:
            return RedirectResponse(found[0].url, status_code=303)
        response: Response = await as_page.endpoint(request)
        return response

    return [as_json, Route(urls.JUMP, answer)]


def _redirect(target: str) -> Callable[[Request], Response]:
    return lambda request: RedirectResponse(target)


def _patterns(services: PageServices) -> Callable[[Request], Response]:
    """Every component of the kit."""

    def patterns(request: Request) -> Response:
        body = patterns_page(services.clock.now(), dict(request.query_params))
        return Response(body, headers=html_response_headers())

    return patterns


def _static(door: Door) -> Callable[[Request], object]:
    async def static(request: Request) -> Response:
        try:
            content, content_type, tag = asset(request.path_params["name"])
        except KeyError:
            error = NotFoundError(f"there is no file {request.path_params['name']!r}", hint="reload the page")
            return await door.refused(request, error)
        headers = {"Cache-Control": ASSET_CACHE_CONTROL, "ETag": tag, "X-Content-Type-Options": "nosniff"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=content_type, headers=headers)

    return static
