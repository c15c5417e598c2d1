"""What may be logged: names, lengths and numbers, as MLflow's clients expect them to be refused."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from holdfast.base.errors import InvalidError
from holdfast.tracking.records import LoggedPoint, RunInput

METRICS_MOST = 1000
PAIRS_MOST = 100
BATCH_MOST = 1000
KEY_MOST = 250
PARAMETER_MOST = 6_000
TAG_MOST = 8_000
EXPERIMENT_NAME_MOST = 500
EXPERIMENT_TAG_MOST = 20_000
LOCATION_MOST = 2_048
MODEL_TYPE_MOST = 500
# Milliseconds that still fit 64 bits as microseconds.
TIME_MOST_MS = (2**63 - 1) // 1000

_KEY = re.compile(r"[/\w.\- :]*")
_BAD_MODEL_NAME = re.compile(r"[/:.%\"']")
_DATASET_LIMITS = (
    ("name", 500),
    ("digest", 36),
    ("source_type", 500),
    ("source", 65_535),
    ("schema", 1_048_575),
    ("profile", 16_777_215),
)


# The same few names come with every point, and a name that is legal stays so.
@functools.lru_cache(maxsize=8192)
def check_key(key: str, noun: str) -> None:
    """A name that can stand for a file too, of at most 250 characters.

    Raises:
        InvalidError: it is not one.
    """
    if not key or not _KEY.fullmatch(key):
        raise InvalidError(
            f"Invalid value {key[:100]!r} for the {noun} name",
            hint="names hold letters, digits, '_', '-', '.', ' ', ':' and '/'",
            field="key",
        )
    norm = posixpath.normpath(key)
    if norm != key or norm == "." or norm.startswith(("..", "/")):
        raise InvalidError(
            f"Invalid value {key[:100]!r} for the {noun} name: as a path it would be {norm!r}", field="key"
        )
    check_length(key, KEY_MOST, f"{noun} name")


def check_length(value: str, most: int, noun: str) -> None:
    """Refuses a text that is too long, or that no database keeps.

    Raises:
        InvalidError: it is longer than `most` characters, or holds a NUL.
    """
    if len(value) > most:
        raise InvalidError(f"{noun} exceeds the maximum length of {most} characters ({len(value)} given)")
    if "\x00" in value:
        raise InvalidError(f"{noun} holds a NUL character")


def check_batch(points: Sequence[LoggedPoint], parameters: int, tags: int) -> None:
    """The limits of one batch.

    Raises:
        InvalidError: there is more of something than a batch takes.
    """
    counts = (
        ("metrics", len(points), METRICS_MOST),
        ("params", parameters, PAIRS_MOST),
        ("tags", tags, PAIRS_MOST),
        ("metrics, params, and tags", len(points) + parameters + tags, BATCH_MOST),
    )
    for noun, count, most in counts:
        if count > most:
            raise InvalidError(
                f"A batch logging request can contain at most {most} {noun}. Got {count} {noun}",
                hint=f"split up {noun} across multiple requests and try again",
            )


def check_points(points: Sequence[LoggedPoint]) -> None:
    """Names and times of points.

    Raises:
        InvalidError: one is not legal.
    """
    for key in {point.key for point in points}:
        check_key(key, "metric")
    if points:
        times = [point.at for point in points]
        check_time(min(times) // 1000, "timestamp")
        check_time(max(times) // 1000, "timestamp")


def check_time(milliseconds: int, noun: str) -> None:
    """A time since 1970 that fits 64 bits in microseconds.

    Raises:
        InvalidError: it is negative or too large.
    """
    if not 0 <= milliseconds <= TIME_MOST_MS:
        raise InvalidError(
            f"Invalid value {milliseconds} for parameter '{noun}'",
            hint="give milliseconds since 1970, not negative",
            field=noun,
        )


def check_parameters(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a batch, each key once.

    Raises:
        InvalidError: a key comes twice, or a name or value is not legal.
    """
    found: dict[str, str] = {}
    for key, value in parameters:
        check_key(key, "param")
        check_length(value, PARAMETER_MOST, f"Param value of {key!r}")
        if found.setdefault(key, value) != value:
            raise InvalidError(f"Duplicate parameter keys have been submitted: {key!r}")
    return found


def check_tags(tags: Iterable[tuple[str, str]], most: int = TAG_MOST) -> dict[str, str]:
    """Tags by key; the last of several values of one key stands.

    Raises:
        InvalidError: a name or value is not legal.
    """
    found: dict[str, str] = {}
    for key, value in tags:
        check_key(key, "tag")
        check_length(value, most, f"Tag value of {key!r}")
        found[key] = value
    return found


def check_experiment_name(name: str) -> None:
    """Any text of 1 to 500 characters.

    Raises:
        InvalidError: it is empty or too long.
    """
    if not name.strip():
        raise InvalidError("Invalid experiment name: it is empty", field="name")
    check_length(name, EXPERIMENT_NAME_MOST, "Experiment name")


def check_location(location: str) -> None:
    """An address of artifacts without anything that climbs out of it.

    Raises:
        InvalidError: it is too long, or has `..`, a query or a fragment.
    """
    check_length(location, LOCATION_MOST, "artifact_location")
    climbs = ".." in _decoded(location).split("/")
    if climbs or any(part in location for part in ("?", "#", "\\")) or not _is_address(location):
        raise InvalidError(
            f"Invalid artifact_location {location!r}", hint="leave out '..', '?', '#' and backslashes"
        )


def _decoded(text: str) -> str:
    """Without percent signs, however often they were put in."""
    before = ""
    while text != before:
        before, text = text, unquote(text)
    return text


def _is_address(location: str) -> bool:
    try:
        urlsplit(location)
    except ValueError:  # such as half of a pair of brackets
        return False
    return True


def check_inputs(inputs: Iterable[RunInput]) -> None:
    """The lengths of a dataset's description.

    Raises:
        InvalidError: one is too long.
    """
    for given in inputs:
        for field, most in _DATASET_LIMITS:
            check_length(getattr(given.dataset, field) or "", most, f"Dataset {field}")
        for key, value in given.tags.items():
            check_length(key, 255, "Input tag key")
            check_length(value, 500, "Input tag value")


def check_model_name(name: str) -> None:
    """A name of a logged model.

    Raises:
        InvalidError: it has characters that addresses of models need.
    """
    if not name or _BAD_MODEL_NAME.search(name):
        raise InvalidError(
            f"Invalid model name {name[:100]!r}", hint="leave out / : . % and quotes", field="name"
        )
    check_length(name, EXPERIMENT_NAME_MOST, "Model name")


def check_artifact_path(path: str) -> str:
    """The path of an artifact below its root, as it is stored.

    Raises:
        InvalidError: it climbs, is absolute, names a drive, or hides one of these behind percent signs.

    Example:
        >>> check_artifact_path("model/MLmodel")
        'model/MLmodel'
    """
    shown, plain = path, path
    for _ in range(5):
        segments = plain.split("/")
        if (
            ".." in segments
            or plain.startswith(("/", "~"))
            or "\\" in plain
            or any(ord(letter) < 32 or ord(letter) == 127 for letter in plain)
            or re.match(r"[A-Za-z]:($|/)|[a-z][a-z0-9+.\-]*://|file:", plain)
        ):
            raise InvalidError(f"Invalid path {shown[:200]!r}", hint="give a path below the artifact root")
        decoded = unquote(plain)
        if decoded == plain:
            break
        plain = decoded
    else:
        raise InvalidError(f"Invalid path {shown[:200]!r}", hint="give a path below the artifact root")
    kept = [segment for segment in path.split("/") if segment not in ("", ".")]
    check_length("/".join(kept), LOCATION_MOST, "The path")
    return "/".join(kept)


def stored_root(uri: str) -> str:
    """The path in our store of an artifact root.

    Raises:
        InvalidError: the root is in another store, which clients reach by themselves.

    Example:
        >>> stored_root("mlflow-artifacts:/3/0a1b/artifacts")
        '3/0a1b/artifacts'
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            return check_artifact_path(parts.path.strip("/"))
    except ValueError:
        pass  # no address at all, so not in our store either
    raise InvalidError(
        f"the artifacts at {uri[:200]!r} are not in this server's store", hint="open them from there"
    )
