"""The language of searches: MLflow's filter grammar, with OR and parentheses besides.

    condition   := conjunction (OR conjunction)*
    conjunction := term (AND term)*
    term        := comparison | ( condition )
    comparison  := field (= | != | < | <= | > | >=) value
                 | field (LIKE | ILIKE) text | field [NOT] IN (text, …) | field IS [NOT] NULL
    field       := metrics.KEY | params.KEY | tags.KEY | datasets.KEY | [attributes.]KEY

A key with other characters than letters, digits and `_ - / : .` stands in backticks or double quotes; a text in single
or double quotes, where a quote within is doubled. A field that an object does not have matches nothing, `!=`
included; only IS NULL finds what is absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from holdfast.base.clock import parse_time
from holdfast.base.errors import InvalidError

Kind = Literal["metric", "parameter", "tag", "attribute", "dataset"]
Value = str | float | int | tuple[str, ...] | None

NUMERIC = ("=", "!=", "<", "<=", ">", ">=")
TEXTUAL = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
PRESENCE = ("IS NULL", "IS NOT NULL")

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "parameter"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_PLURALS: dict[Kind, str] = {
    "metric": "metrics",
    "parameter": "params",
    "tag": "tags",
    "attribute": "attributes",
    "dataset": "datasets",
}
# PostgreSQL plans a hundred of them in a second, and more of them in much more.
_COMPARISONS_MOST = 100
_LIST_MOST = 1000
_DEPTH_MOST = 50
# Each column of an order is a join, of which SQLite takes 64 and nobody needs many.
ORDERS_MOST = 20
_MILLISECOND_US = 1000
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<field>(?:[^\W\d][\w\-/:]*|`[^`]+`)(?:\.(?:[\w\-/:]+|`[^`]+`|\"[^\"]+\"))*)"
    r"|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<operator><=|>=|!=|=|<|>)"
    r"|(?P<mark>[(),])",
)
_SEGMENT = re.compile(r"`([^`]+)`|\"([^\"]+)\"|([^.`\"]+)")
_PLAIN_KEY = re.compile(r"[\w\-/:]+(?:\.[\w\-/:]+)*")


class Comparison(msgspec.Struct, frozen=True, tag=True):
    """One field compared with a value, a list of texts, or nothing (IS NULL)."""

    kind: Kind
    key: str
    operator: str
    value: Value = None


class And(msgspec.Struct, frozen=True, tag=True):
    """All of the parts."""

    parts: tuple[Condition, ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """Any of the parts."""

    parts: tuple[Condition, ...]


Condition = Comparison | And | Or


class Grammar(msgspec.Struct, frozen=True):
    """Which fields a search knows.

    `attributes` maps every spelling of an attribute to its name; those in `numbers` take numbers, and with `times` as
    well a quoted ISO time for the milliseconds since 1970. An attribute in `choices` takes these values alone, whatever
    their case.
    """

    kinds: frozenset[Kind]
    attributes: Mapping[str, str]
    numbers: frozenset[str] = frozenset()
    times: bool = False
    choices: Mapping[str, tuple[str, ...]] = {}
    default: Kind = "attribute"


class Order(msgspec.Struct, frozen=True):
    """One key to sort by."""

    kind: Kind
    key: str
    ascending: bool = True


class _Token(NamedTuple):
    sort: str
    text: str
    at: int


def parse(text: str, grammar: Grammar) -> Condition | None:
    """The condition that a text says, or None for a blank one.

    Raises:
        InvalidError: the text does not follow the grammar, or names a field that there is not.

    Example:
        >>> runs = Grammar(frozenset({"metric", "tag"}), {})
        >>> parse("metrics.mae < 3 AND tags.team = 'rides'", runs).parts[0]
        Comparison(kind='metric', key='mae', operator='<', value=3)
    """
    tokens = _tokens(text)
    return _Parser(tokens, grammar).condition() if tokens else None


def parse_orders(texts: Sequence[str], grammar: Grammar) -> list[Order]:
    """The columns to sort by, the first one first.

    Raises:
        InvalidError: one of them is none, or there are too many.
    """
    if len(texts) > ORDERS_MOST:
        raise InvalidError(f"Invalid order_by: more than {ORDERS_MOST} columns", field="order_by")
    return [parse_order(text, grammar) for text in texts]


def parse_order(text: str, grammar: Grammar) -> Order:
    """One clause of an ORDER BY, e.g. ``metrics.`val mae` DESC``.

    Raises:
        InvalidError: it is something else.
    """
    tokens = _tokens(text)
    words = [token.text for token in tokens]
    direction = words[1].lower() if len(words) == 2 else "asc"
    if (
        not 1 <= len(words) <= 2
        or direction not in ("asc", "desc")
        or tokens[0].sort not in ("field", "text")
    ):
        raise InvalidError(f"Invalid order_by clause {text!r}", hint="write e.g. metrics.accuracy DESC")
    kind, key = _field(words[0].strip("\"'"), grammar)
    if kind == "dataset":
        raise InvalidError(f"Invalid order_by clause {text!r}: nothing can be ordered by its datasets")
    return Order(kind, key, direction == "asc")


def render(condition: Condition) -> str:
    """The text of a condition; parsing it gives the condition again.

    Example:
        >>> render(Comparison("tag", "team name", "=", "it's"))
        "tags.`team name` = 'it''s'"
    """
    if isinstance(condition, Comparison):
        key = condition.key if _PLAIN_KEY.fullmatch(condition.key) else _quoted_key(condition.key)
        field = f"{_PLURALS[condition.kind]}.{key} {condition.operator}"
        return field if condition.value is None else f"{field} {_literal(condition.value)}"
    word = " AND " if isinstance(condition, And) else " OR "
    return word.join(
        render(part) if isinstance(part, Comparison) else f"({render(part)})" for part in condition.parts
    )


class _Parser:
    def __init__(self, tokens: list[_Token], grammar: Grammar) -> None:
        self._tokens = tokens
        self._grammar = grammar
        self._place = 0
        self._comparisons = 0
        self._depth = 0

    def condition(self) -> Condition:
        found = self._either()
        if self._place < len(self._tokens):
            raise self._unexpected("AND, OR or the end")
        return found

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._word("OR"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._term()]
        while self._word("AND"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _term(self) -> Condition:
        if not self._mark("("):
            return self._comparison()
        self._depth += 1
        if self._depth > _DEPTH_MOST:
            raise InvalidError(f"Invalid filter: more than {_DEPTH_MOST} parentheses within each other")
        found = self._either()
        if not self._mark(")"):
            raise self._unexpected("a closing parenthesis")
        self._depth -= 1
        return found

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > _COMPARISONS_MOST:
            raise InvalidError(f"Invalid filter: more than {_COMPARISONS_MOST} comparisons")
        token = self._next()
        if token is None or token.sort != "field":
            raise self._unexpected("a field such as metrics.accuracy", token)
        kind, key = _field(token.text, self._grammar)
        operator = self._operator()
        number = kind == "metric" or (kind == "attribute" and key in self._grammar.numbers)
        allowed: tuple[str, ...] = NUMERIC if number else TEXTUAL
        if kind in ("metric", "parameter", "tag"):
            allowed = (*allowed, *PRESENCE)
        if operator not in allowed:
            raise InvalidError(
                f"Invalid comparator {operator!r} for {token.text}", hint=f"it takes {', '.join(allowed)}"
            )
        if operator in PRESENCE:
            return Comparison(kind, key, operator)
        if operator.endswith("IN"):
            return Comparison(kind, key, operator, self._chosen(kind, key, self._list()))
        if number:
            takes_times = kind == "attribute" and self._grammar.times
            return Comparison(kind, key, operator, self._number(token.text, time=takes_times))
        text = self._text(token.text)
        if operator in ("=", "!="):
            self._chosen(kind, key, (text,))
        return Comparison(kind, key, operator, text)

    def _chosen(self, kind: Kind, key: str, values: tuple[str, ...]) -> tuple[str, ...]:
        """The values, which an attribute with few possible ones must have."""
        choices = self._grammar.choices.get(key) if kind == "attribute" else None
        for value in values if choices else ():
            if choices and value.lower() not in choices:
                raise InvalidError(
                    f"Invalid filter: there is no {key} {value!r}", hint=f"valid are {', '.join(choices)}"
                )
        return values

    def _operator(self) -> str:
        token = self._next()
        if token is not None and token.sort == "operator":
            return token.text
        word = "" if token is None or token.sort != "field" else token.text.upper()
        if word in ("LIKE", "ILIKE", "IN"):
            return word
        if word == "NOT" and self._word("IN"):
            return "NOT IN"
        if word == "IS":
            absent = not self._word("NOT")
            if self._word("NULL"):
                return "IS NULL" if absent else "IS NOT NULL"
        raise self._unexpected("a comparison such as =, !=, LIKE, IN or IS NULL", token)

    def _number(self, field: str, *, time: bool = False) -> float | int:
        token = self._next()
        if time and token is not None and token.sort == "text":
            try:
                return parse_time(_unquoted(token.text)) // _MILLISECOND_US
            except InvalidError as error:
                raise InvalidError(
                    f"Invalid filter: {token.text} at character {token.at + 1} is not an ISO 8601 time",
                    hint=f"write {field} > '2026-01-31T12:00:00Z', or a number of milliseconds since 1970",
                ) from error
        if token is None or token.sort != "number":
            raise self._unexpected(f"a number for {field}", token)
        try:
            return int(token.text)
        except ValueError:
            return float(token.text)

    def _text(self, field: str) -> str:
        token = self._next()
        if token is None or token.sort != "text":
            raise self._unexpected(f"a quoted text for {field}, e.g. 'value',", token)
        return _unquoted(token.text)

    def _list(self) -> tuple[str, ...]:
        if not self._mark("("):
            raise self._unexpected("a list of quoted texts in parentheses")
        found = [self._text("the list")]
        while self._mark(","):
            found.append(self._text("the list"))
        if not self._mark(")"):
            raise self._unexpected("a closing parenthesis")
        if len(found) > _LIST_MOST:
            raise InvalidError(f"Invalid filter: a list of more than {_LIST_MOST} values")
        return tuple(found)

    def _next(self) -> _Token | None:
        token = self._tokens[self._place] if self._place < len(self._tokens) else None
        self._place += 1
        return token

    def _word(self, word: str) -> bool:
        return self._take("field", word)

    def _mark(self, mark: str) -> bool:
        return self._take("mark", mark)

    def _take(self, sort: str, text: str) -> bool:
        if self._place < len(self._tokens):
            token = self._tokens[self._place]
            if token.sort == sort and token.text.upper() == text:
                self._place += 1
                return True
        return False

    def _unexpected(self, wanted: str, token: _Token | None = None) -> InvalidError:
        if token is None and self._place < len(self._tokens):
            token = self._tokens[self._place]
        found = "the end" if token is None else f"{token.text!r} at character {token.at + 1}"
        return InvalidError(f"Invalid filter: expected {wanted} but found {found}")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise InvalidError(f"Invalid filter: {text[place : place + 20]!r} at character {place + 1}")
        if match.lastgroup != "space":
            found.append(_Token(match.lastgroup or "", match[0], place))
        place = match.end()
    return found


def _field(text: str, grammar: Grammar) -> tuple[Kind, str]:
    segments = [first or second or third for first, second, third in _SEGMENT.findall(text)]
    kind, key = grammar.default, segments[0]
    if len(segments) > 1:
        named = _KINDS.get(segments[0])
        if named is None:
            raise InvalidError(
                f"Invalid entity type {segments[0]!r}", hint=f"valid are {', '.join(sorted(grammar.kinds))}"
            )
        kind, key = named, ".".join(segments[1:])
    if kind not in grammar.kinds and kind != "attribute":
        raise InvalidError(
            f"Invalid entity type {segments[0]!r}", hint=f"valid are {', '.join(sorted(grammar.kinds))}"
        )
    names = (
        {"name": "name", "digest": "digest", "context": "context"}
        if kind == "dataset"
        else grammar.attributes
    )
    if kind in ("attribute", "dataset"):
        if key not in names:
            raise InvalidError(
                f"Invalid {kind} key {key!r}", hint=f"valid are {', '.join(sorted(set(names.values())))}"
            )
        key = names[key]
    return kind, key


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])


def _quoted_key(key: str) -> str:
    return f'"{key}"' if "`" in key else f"`{key}`"


def _literal(value: Value) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_literal(item) for item in value)})"
    return "'{}'".format(value.replace("'", "''")) if isinstance(value, str) else repr(value)
