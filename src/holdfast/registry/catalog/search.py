"""The filter grammar and the order of the catalog's searches. Pure.

    filter      := term {(AND | OR) term}          AND binds tighter than OR
    term        := [NOT] '(' filter ')' | comparison
    comparison  := field (= | != | < | <= | > | >= | LIKE | ILIKE) value
                 | field [NOT] IN '(' value {',' value} ')' | field IS [NOT] NULL
    field       := attribute | (tags | tag | attributes | attribute) '.' key       keys may be `quoted`

This is MLflow's grammar for models and versions, plus OR, NOT, parentheses and IS NULL. A comparison with a tag
that is not there is false, with one exception of MLflow's: without `mlflow.prompt.is_prompt` a model is no prompt.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast.base.errors import InvalidError

T = TypeVar("T")
Lookup = Callable[[str, str], Any]
Predicate = Callable[[Lookup], bool]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<mark><=|>=|!=|<>|=|<|>|\(|\)|,)
    | (?P<word>(?:`[^`]*`|[\w\-/]+|")(?:\.(?:`[^`]*`|"[^"]*"|'[^']*'|[\w.\-/]+))?)
    )""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_IS_PROMPT = "mlflow.prompt.is_prompt"
_DEPTH_MOST = 50


def parse_filter(text: str, attributes: Mapping[str, type]) -> Predicate:
    """The predicate of a filter over a lookup `(kind, key) -> value or None`, kind `attribute` or `tag`.

    Raises:
        InvalidError: it does not follow the grammar, or names an attribute that there is none of.

    Example:
        >>> wanted = parse_filter("name LIKE 'bike%' AND tags.team = 'rides'", {"name": str})
        >>> wanted(lambda kind, key: {"name": "bike-demand", "team": "rides"}[key])
        True
    """
    if not text.strip():
        return lambda lookup: True
    return _Parser(text, attributes).whole()


class _Parser:
    def __init__(self, text: str, attributes: Mapping[str, type]) -> None:
        self._text = text
        self._attributes = attributes
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Predicate:
        found = self._either()
        if self._at < len(self._tokens):
            raise self._refuse(f"{self._tokens[self._at][1]!r} is not expected there")
        return found

    def _either(self) -> Predicate:
        parts = [self._both()]
        while self._word("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda lookup: any(part(lookup) for part in parts)

    def _both(self) -> Predicate:
        parts = [self._term()]
        while self._word("AND"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else lambda lookup: all(part(lookup) for part in parts)

    def _term(self) -> Predicate:
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise self._refuse(f"more than {_DEPTH_MOST} terms within each other")
        found = self._negated() if self._word("NOT") else self._grouped()
        self._depth -= 1
        return found

    def _negated(self) -> Predicate:
        inner = self._term()
        return lambda lookup: not inner(lookup)

    def _grouped(self) -> Predicate:
        if not self._mark("("):
            return self._comparison()
        found = self._either()
        if not self._mark(")"):
            raise self._refuse("a ')' is missing")
        return found

    def _comparison(self) -> Predicate:
        kind, key, type_ = self._field()
        if self._word("IS"):
            wanted = not self._word("NOT")
            if not self._word("NULL"):
                raise self._refuse("after IS comes NULL or NOT NULL")
            return lambda lookup: (lookup(kind, key) is None) == wanted
        negated = self._word("NOT")
        if self._word("IN"):
            values = self._values(type_)
            return _compare(kind, key, lambda found: (found in values) != negated)
        for word, flags in (("LIKE", 0), ("ILIKE", re.IGNORECASE)):
            if self._word(word):
                return _compare(kind, key, _matching(str(self._value(str)), flags, negated))
        return self._plain(kind, key, type_)

    def _plain(self, kind: str, key: str, type_: type) -> Predicate:
        token = self._next("a comparison such as =, !=, LIKE or IN")
        if token[1] not in _COMPARISONS or (type_ is str and token[1] not in ("=", "!=", "<>")):
            raise self._refuse(f"{token[1]!r} does not compare {key}")
        compare, value = _COMPARISONS[token[1]], self._value(type_)
        if kind == "tag" and key == _IS_PROMPT:
            return lambda lookup: compare(lookup(kind, key) or "false", value)
        return _compare(kind, key, lambda found: compare(found, value))

    def _field(self) -> tuple[str, str, type]:
        kind, word = self._next("a field")
        if kind != "word":
            raise self._refuse(f"{word!r} is not a field")
        prefix, dot, rest = ("", "", word) if word.startswith("`") else word.partition(".")
        prefix, key = (prefix.lower(), rest) if dot else ("attribute", prefix or rest)
        key = key.strip("`\"'")
        if prefix in ("tag", "tags"):
            return "tag", key, str
        if prefix not in ("attribute", "attributes", "attr"):
            raise self._refuse(f"{prefix!r} is neither tags nor attributes")
        if key not in self._attributes:
            valid = ", ".join(sorted(self._attributes))
            raise self._refuse(f"there is no attribute {key!r} (valid: {valid}, tags.KEY)")
        return "attribute", key, self._attributes[key]

    def _value(self, type_: type) -> Any:
        kind, text = self._next("a value")
        if type_ is str:
            if kind != "text":
                raise self._refuse(f"{text} must be a quoted text")
            return _unquoted(text)
        if kind != "number":
            raise self._refuse(f"{text} is not a number")
        return float(text)

    def _values(self, type_: type) -> list[Any]:
        if not self._mark("("):
            raise self._refuse("after IN comes a list in parentheses")
        found = [self._value(type_)]
        while self._mark(","):
            found.append(self._value(type_))
        if not self._mark(")"):
            raise self._refuse("a ')' is missing")
        return found

    def _next(self, wanted: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._refuse(f"it ends where {wanted} should be")
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self, word: str) -> bool:
        return self._accept("word", word)

    def _mark(self, mark: str) -> bool:
        return self._accept("mark", mark)

    def _accept(self, kind: str, text: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        found = self._tokens[self._at]
        if found[0] != kind or found[1].upper() != text:
            return False
        self._at += 1
        return True

    def _refuse(self, why: str) -> InvalidError:
        return InvalidError(f"the filter {self._text[:200]!r} cannot be read: {why}", field="filter")


def _compare(kind: str, key: str, test: Callable[[Any], bool]) -> Predicate:
    def predicate(lookup: Lookup) -> bool:
        found = lookup(kind, key)
        return found is not None and test(found)

    return predicate


def _matching(pattern: str, flags: int, negated: bool) -> Callable[[Any], bool]:
    matches = _like(pattern, flags)
    return lambda found: matches(str(found)) != negated


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise InvalidError(
                f"the filter {text[:200]!r} cannot be read at {text[at:].strip()[:20]!r}", field="filter"
            )
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _like(pattern: str, flags: int) -> Callable[[str], bool]:
    """Whether a text is like a pattern. The pieces between the % are looked for one after the other, each at its
    first place: one regular expression with many `.*` in it could try for hours."""
    pieces = pattern.split("%")
    first, *rest = (
        re.compile("".join("." if char == "_" else re.escape(char) for char in piece), flags | re.DOTALL)
        for piece in pieces
    )
    if not rest:
        return lambda text: first.fullmatch(text) is not None
    *inner, last = rest

    def matches(text: str) -> bool:
        found = first.match(text)
        for piece in inner:
            found = found and piece.search(text, found.end())
        # A character of a piece stands for one character, so the place of the last piece is known.
        start = len(text) - len(pieces[-1])
        return found is not None and start >= found.end() and last.fullmatch(text, start) is not None

    return matches


def parse_order(order_by: Sequence[str], valid: Sequence[str]) -> list[tuple[str, bool]]:
    """Columns with True for ascending.

    Raises:
        InvalidError: a column that cannot be ordered by, or one named twice.

    Example:
        >>> parse_order(["name DESC"], ["name"])
        [('name', False)]
    """
    found: list[tuple[str, bool]] = []
    for clause in order_by:
        match = re.fullmatch(r"\s*(?:attributes?\.)?`?(\w+)`?(?:\s+(ASC|DESC))?\s*", clause, re.IGNORECASE)
        if match is None or match[1] not in valid:
            raise InvalidError(
                f"{clause!r} is not an order", hint=f"valid columns: {', '.join(valid)}", field="order_by"
            )
        if match[1] in dict(found):
            raise InvalidError(f"order_by names {match[1]!r} twice", field="order_by")
        found.append((match[1], (match[2] or "ASC").upper() == "ASC"))
    return found


def page(
    items: Sequence[T],
    value: Callable[[T, str], Any],
    order: Sequence[tuple[str, bool]],
    limit: int,
    token: str,
) -> tuple[list[T], str]:
    """One page in the order asked for, and the token of the next one (empty on the last).

    The token holds the key of the page's last item, so what is added or deleted meanwhile shifts nothing. The order
    must end in columns that tell all items apart.

    Raises:
        InvalidError: the token is not one of an answer to the same question.
    """

    def key(item: T) -> list[Any]:
        return [value(item, column) for column, _ in order]

    ordered = list(items)
    for position, (_, ascending) in reversed(list(enumerate(order))):
        ordered.sort(key=lambda item, position=position: key(item)[position], reverse=not ascending)  # type: ignore[misc]
    if token:
        last = _read_token(token, order)
        ordered = [item for item in ordered if _is_after(key(item), last, order)]
    found = ordered[:limit]
    more = len(ordered) > limit
    return found, _write_token(key(found[-1]), order) if more and found else ""


def _is_after(key: Sequence[Any], last: Sequence[Any], order: Sequence[tuple[str, bool]]) -> bool:
    for mine, theirs, (_, ascending) in zip(key, last, order, strict=True):
        if mine != theirs:
            return bool(mine > theirs) == ascending
    return False


def _write_token(key: Sequence[Any], order: Sequence[tuple[str, bool]]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([_names(order), list(key)])).decode()


def _read_token(token: str, order: Sequence[tuple[str, bool]]) -> list[Any]:
    try:
        names, key = msgspec.json.decode(
            base64.urlsafe_b64decode(token), type=tuple[list[str], list[str | int]]
        )
    except (ValueError, msgspec.DecodeError, msgspec.ValidationError):
        names, key = [], []
    if names != _names(order) or len(key) != len(order):
        raise InvalidError(
            "the page token does not belong to this search",
            hint="pass on the token of the page before, with the same order",
            field="page_token",
        )
    return list(key)


def _names(order: Sequence[tuple[str, bool]]) -> list[str]:
    return [f"{column} {'ASC' if ascending else 'DESC'}" for column, ascending in order]
