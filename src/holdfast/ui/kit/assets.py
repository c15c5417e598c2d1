"""Static files of the kit, served under a URL that carries the hash of their content.

A browser may keep such a file for ever: new content has a new URL, so a page never meets the stylesheet
or script of another release.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

import msgspec

ASSET_PATH = "/-/static/"
"""The path prefix under which the composition root serves `asset`."""

ASSET_CACHE_CONTROL = "public, max-age=31536000, immutable"

_FOLDER = Path(__file__).parent
_CONTENT_TYPES = {
    "kit.css": "text/css; charset=utf-8",
    "kit.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
_HASHED = re.compile(r"^(?P<stem>[a-z]+)\.(?P<digest>[0-9a-f]{12})\.(?P<suffix>[a-z]+)$")


class Asset(msgspec.Struct, frozen=True):
    """The bytes of one static file with what an HTTP answer needs to say about them."""

    content: bytes
    content_type: str
    etag: str


@cache
def _load(name: str) -> Asset:
    content = (_FOLDER / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content=content, content_type=_CONTENT_TYPES[name], etag=f'"{digest}"')


def asset_url(name: str) -> str:
    """Return the content-hashed URL of a static file.

    Raises KeyError for a name the kit does not have.

    >>> asset_url("kit.css")  # doctest: +SKIP
    '/-/static/kit.3f2a90c1b7de.css'
    """
    if name not in _CONTENT_TYPES:
        raise KeyError(name)
    stem, suffix = name.rsplit(".", 1)
    return f"{ASSET_PATH}{stem}.{_load(name).etag.strip(chr(34))}.{suffix}"


def asset(name: str) -> tuple[bytes, str, str]:
    """Return (content, content type, entity tag) of a static file, by plain or by hashed name.

    A hashed name of another release raises KeyError like an unknown one: answering it with today's bytes
    would let a cache keep the wrong content for ever.
    """
    match = _HASHED.match(name)
    plain = f"{match['stem']}.{match['suffix']}" if match else name
    if plain not in _CONTENT_TYPES:
        raise KeyError(name)
    found = _load(plain)
    if match and found.etag != f'"{match["digest"]}"':
        raise KeyError(name)
    return found.content, found.content_type, found.etag
