"""The Jinja environment of all pages: autoescape on, undefined names are errors, the kit's filters."""

from functools import cache
from pathlib import Path

import jinja2

from holdfast.ui.kit import format as fmt
from holdfast.ui.kit.assets import asset_url
from holdfast.ui.kit.badges import badge, shape_icon, status

_TEMPLATES = Path(__file__).parent / "templates"


def environment(pages: jinja2.BaseLoader | None = None) -> jinja2.Environment:
    """Build the environment; the kit's templates are named `kit/…`, `pages` loads the caller's own.

    Filters: number, si, percent, size, duration, absolute_time, day, relative_time(now_at),
    time_tag(now_at), short_id, badge.
    """
    loaders: list[jinja2.BaseLoader] = [jinja2.PrefixLoader({"kit": jinja2.FileSystemLoader(_TEMPLATES)})]
    if pages is not None:
        loaders.append(pages)
    env = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for function in (
        fmt.number,
        fmt.si,
        fmt.percent,
        fmt.size,
        fmt.duration,
        fmt.absolute_time,
        fmt.day,
        fmt.relative_time,
        fmt.time_tag,
        fmt.short_id,
        badge,
    ):
        env.filters[function.__name__] = function
    env.globals.update(
        asset_url=asset_url,
        code_block=fmt.code_block,
        copy_button=fmt.copy_button,
        shape_icon=shape_icon,
        status_of=status,
    )
    return env


@cache
def kit_environment() -> jinja2.Environment:
    """The environment with the kit's own templates alone, for components rendered from Python."""
    return environment()
