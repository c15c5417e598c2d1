"""Pages of searches: the keys of the last row become a mark, and the next page continues behind them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.base.errors import InvalidError
from holdfast.tracking.store.compare import Sql


class Key(msgspec.Struct, frozen=True):
    """One term of an order: `column` in the row, its SQL, and its direction."""

    column: str
    sql: str
    ascending: bool


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the phase of the search, the values of its keys, and what was asked."""

    phase: int
    values: tuple[float | int | str | None, ...]
    asked: str


def behind(keys: Sequence[Key], values: Sequence[Any]) -> Sql:
    """The condition that a row comes after the given keys in their order.

    A key whose value is None was absent in the last row and is so in every row of the same rank.

    Raises:
        InvalidError: there are more or fewer values than keys.
    """
    if len(values) != len(keys):
        raise bad_mark()
    sql, parameters = "1 = 0", list[Any]()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        if value is None:
            continue
        beyond = ">" if key.ascending else "<"
        sql = f"({key.sql} {beyond} ? OR ({key.sql} = ? AND {sql}))"
        parameters = [value, value, *parameters]
    first = keys[0]
    if values[0] is not None and first.column == "k_lead":
        # Said once more, plainly, so that the walk over the index begins there.
        sql = f"{first.sql} {'>=' if first.ascending else '<='} ? AND {sql}"
        parameters = [values[0], *parameters]
    return sql, parameters


def fingerprint(*asked: object) -> str:
    """What a page mark belongs to, in few characters.

    Example:
        >>> fingerprint("metrics.mae < 3", ["start_time"]) == fingerprint("metrics.mae < 4", ["start_time"])
        False
    """
    return hashlib.blake2s(repr(asked).encode(), digest_size=8).hexdigest()


def read_mark(text: str, asked: str) -> Mark:
    """A page mark of a search; `asked` identifies what was asked.

    Raises:
        InvalidError: it is none, or one of another search.
    """
    try:
        mark = msgspec.msgpack.decode(base64.urlsafe_b64decode(text.encode()), type=Mark)
    except (ValueError, msgspec.MsgspecError):
        raise bad_mark() from None
    if mark.asked != asked:
        raise InvalidError(
            "the page token belongs to another search", hint="repeat filter and order_by with it"
        )
    return mark


def write_mark(mark: Mark) -> str:
    """The text of a page mark."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(mark)).decode()


def bad_mark() -> InvalidError:
    """The error of a page mark that is none of the search's."""
    return InvalidError(
        "Invalid page token",
        hint="take it from the page before: what its last line gives as --after, or its next_page_token",
    )
