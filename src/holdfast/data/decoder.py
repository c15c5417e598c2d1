"""The serving door: one contract compiled into a decoder of JSON rows.

Three tiers, each paid for only when the one before fails. The *exact* decoder is a msgspec struct whose types
carry the ranges and categories seen in training: rows that fit it are valid and unflagged, all of it decided in
C while parsing. The *tolerant* decoder has the types alone; rows that fit it are valid, and Python says which
ranges and categories they left (`temp:range`). What fits neither is explained value by value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple, Optional

import msgspec

from holdfast.base.clock import format_time, parse_time
from holdfast.base.errors import InvalidError
from holdfast.data.formats import TIME_FORMAT, python_pattern
from holdfast.data.policy import expects, noun, show
from holdfast.data.records import Contract, FieldContract

INVALID_FIELD = "invalid_field"
MISSING_FIELD = "missing_field"
UNKNOWN_FIELD = "unknown_field"
INVALID_ROWS = "invalid_rows"
INVALID_JSON = "invalid_json"
# Stands for a text that nobody sends, where a type must allow none.
_NOTHING = "\x00holdfast"

# A string in JSON that is not UTF-8 comes out of msgspec as Python's own error.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
_EXACT_INTEGER_MOST = 2**53
_INT64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)
_TYPES: dict[str, Any] = {
    "float": float,
    "integer": Annotated[int, _INT64],
    "string": str,
    "boolean": bool,
    "datetime": Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}")],
}


class DecodedRows(NamedTuple):
    """Valid rows as columns, in the order of `Contract.request_fields()`, and what was unusual about them.

    Floats are floats, also where the caller wrote `1`; times are ISO 8601 strings in UTC; an absent or null
    optional value is None. `flags` names each field that left its range or categories, once: `temp:range`,
    `origin:category`.
    """

    columns: list[list[Any]]
    flags: list[str]


def compile_decoder(contract: Contract) -> RowDecoder:
    """The decoder of a contract's rows; compile once per model version, use for every request.

    Example:
        >>> contract = Contract("rides", 1, (FieldContract("temp", "float", minimum=0.0, maximum=1.0),))
        >>> compile_decoder(contract).decode_rows(b'[{"temp": 0.5}, {"temp": 3}]')
        DecodedRows(columns=[[0.5, 3.0]], flags=['temp:range'])
        >>> compile_decoder(contract).decode_rows(b'[{"temp": "warm"}]')
        Traceback (most recent call last):
        ...
        holdfast.base.errors.InvalidError: temp: 'warm' is not a number; rides@1 expects float in 0..1
    """
    return RowDecoder(contract)


class RowDecoder:
    """Validates rows against one contract; see `compile_decoder`. Safe to share between threads.

    Raises (from both methods):
        InvalidError: with code `invalid_field`, `missing_field`, `unknown_field` or `invalid_rows`, and the
            place of the first offending value (`rows[0].temp`).
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.fields = contract.request_fields()
        self.names = tuple(field.name for field in self.fields)
        self._exact = msgspec.json.Decoder(list[_row_type(self.fields, exact=True)])  # type: ignore[misc]
        self._tolerant = msgspec.json.Decoder(list[_row_type(self.fields, exact=False)])  # type: ignore[misc]
        self._column_types = [list[_value_type(field, exact=False)] for field in self.fields]  # type: ignore[misc]
        self._checks = [
            (index, check) for index, field in enumerate(self.fields) for check in _outlier_checks(field)
        ]
        self._times = [index for index, field in enumerate(self.fields) if field.type == "datetime"]
        # Texts that must be times stay as they were sent; the rows' time is made of them later.
        self._time_texts = {
            index: _must_be_time(field)
            for index, field in enumerate(self.fields)
            if field.type == "string" and field.format == TIME_FORMAT
        }

    def decode_rows(self, raw_rows: bytes | msgspec.Raw) -> DecodedRows:
        """The rows of a JSON list of objects."""
        try:
            return DecodedRows(self._columns(self._exact.decode(raw_rows), exact=True), [])
        except (msgspec.ValidationError, InvalidError):
            pass
        except _MALFORMED as error:
            raise _not_json(error) from error
        try:
            columns = self._columns(self._tolerant.decode(raw_rows), exact=False)
        except (msgspec.ValidationError, InvalidError) as error:
            raise self._explain(raw_rows, error) from None
        except _MALFORMED as error:
            raise _not_json(error) from error
        return DecodedRows(columns, self._flags(columns))

    def decode_columns(self, columns: Mapping[str, Sequence[Any]]) -> DecodedRows:
        """The same for values that are already parsed, as columns (tensors of the Open Inference Protocol)."""
        counts = {len(values) for values in columns.values()}
        if len(counts) != 1 or counts == {0}:
            raise InvalidError(
                "the columns have no rows" if counts <= {0} else "the columns have different numbers of rows",
                hint="send every column with one value a row",
                code=INVALID_ROWS,
            )
        (count,) = counts
        self._refuse_unknown(columns, "rows")
        decoded = [
            self._column(field, type_, columns, count)
            for field, type_ in zip(self.fields, self._column_types, strict=True)
        ]
        return DecodedRows(decoded, self._flags(decoded))

    def _columns(self, rows: list[msgspec.Struct], *, exact: bool) -> list[list[Any]]:
        if not rows:
            raise InvalidError("rows is empty", hint="send at least one row", field="rows", code=INVALID_ROWS)
        columns = [list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)]
        for index in self._times:
            columns[index] = [None if text is None else _canonical(text) for text in columns[index]]
        for index, always in self._time_texts.items():
            if always or exact:
                _check_times(columns[index])
        return columns

    def _column(
        self, field: FieldContract, type_: Any, columns: Mapping[str, Sequence[Any]], count: int
    ) -> list[Any]:
        if field.name not in columns:
            if field.required:
                raise self._missing(field, "rows[0]", columns)
            return [None] * count
        values = columns[field.name]
        try:
            converted: list[Any] = msgspec.convert(values, type_)
            if field.type == "float" and not all(
                value is None or math.isfinite(value) for value in converted
            ):
                raise InvalidError("not finite")
            if field.type == "datetime":
                return [None if text is None else _canonical(text) for text in converted]
            if field.format == TIME_FORMAT and _must_be_time(field):
                _check_times(converted)
            return converted
        except (msgspec.ValidationError, InvalidError) as error:
            for row, value in enumerate(values):
                self._check_value(field, value, f"rows[{row}]")
            raise InvalidError(f"{field.name}: {error}", field=field.name, code=INVALID_FIELD) from None

    def _flags(self, columns: list[list[Any]]) -> list[str]:
        flags = []
        for index, check in self._checks:
            flag = check(columns[index])
            if flag is not None:
                flags.append(flag)
        return flags

    def _explain(self, raw_rows: bytes | msgspec.Raw, error: Exception) -> InvalidError:
        """The first thing wrong, in the house's words; the caller's rows are parsed once more, without types."""
        if isinstance(error, InvalidError) and error.error_code == INVALID_ROWS:
            return error
        try:
            rows = msgspec.json.decode(raw_rows)
            self._check_rows(rows)
        except _MALFORMED as malformed:
            return _not_json(malformed)
        except InvalidError as found:
            return found
        return InvalidError(
            f"rows does not fit {self.contract.urn} ({error})", field="rows", code=INVALID_FIELD
        )

    def _check_rows(self, rows: Any) -> None:
        if not isinstance(rows, list):
            raise InvalidError(
                f"rows is {show(rows)}, not a list",
                hint='send {"rows": [{…}]}',
                field="rows",
                code=INVALID_ROWS,
            )
        for number, row in enumerate(rows):
            place = f"rows[{number}]"
            if not isinstance(row, dict):
                raise InvalidError(
                    f"{place} is {show(row)}, not an object",
                    hint=f"send the fields {', '.join(self.names)}",
                    field=place,
                    code=INVALID_ROWS,
                )
            for field in self.fields:
                if field.name in row:
                    self._check_value(field, row[field.name], place)
                elif field.required:
                    raise self._missing(field, place, row)
            self._refuse_unknown(row, place)

    def _check_value(self, field: FieldContract, value: Any, place: str) -> None:
        problem = _problem(field, value)
        if problem is not None:
            raise InvalidError(
                f"{field.name}: {show(value)} {problem}",
                hint=expects(self.contract, field),
                field=f"{place}.{field.name}",
                code=INVALID_FIELD,
            )

    def _missing(self, field: FieldContract, place: str, sent: Mapping[str, Any]) -> InvalidError:
        """A field that is not there; a field that nobody asked for may be the one, misspelt."""
        strangers = [name for name in sent if name not in self.names]
        meant = get_close_matches(field.name.lower(), [name.lower() for name in strangers], n=1)
        sent_as = next((name for name in strangers if [name.lower()] == meant), None)
        return InvalidError(
            f"{field.name} is missing" + (f" ({show(sent_as)} was sent)" if sent_as is not None else ""),
            hint=expects(self.contract, field),
            field=f"{place}.{field.name}",
            code=MISSING_FIELD,
        )

    def _refuse_unknown(self, names: Mapping[str, Any], place: str) -> None:
        for name in names:
            if name in self.names:
                continue
            labels = [field.name for field in self.contract.fields if field.role == "label"]
            if name in labels:
                message, hint = (
                    f"{name} is the label, which the model predicts",
                    "leave it out of the request",
                )
            else:
                message = f"{name}: {self.contract.urn} has no such field"
                hint = f"its fields are: {', '.join(self.names)}"
            raise InvalidError(message, hint=hint, field=f"{place}.{name}", code=UNKNOWN_FIELD)


def _not_json(error: Exception) -> InvalidError:
    return InvalidError(f"rows is not valid JSON ({error})", field="rows", code=INVALID_JSON)


def _row_type(fields: Sequence[FieldContract], *, exact: bool) -> type[msgspec.Struct]:
    """A struct of the fields; they get safe attribute names, because a column may be called anything."""
    definitions: list[Any] = []
    for index, field in enumerate(fields):
        type_ = _value_type(field, exact=exact)
        definitions.append((f"f{index}", type_) if field.required else (f"f{index}", type_, None))
    return msgspec.defstruct(
        "Row",
        definitions,
        rename={f"f{index}": field.name for index, field in enumerate(fields)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _value_type(field: FieldContract, *, exact: bool) -> Any:
    type_ = _TYPES[field.type]
    if exact or field.hard:
        if field.type == "string" and field.categories:
            type_ = Literal[tuple(_fitting_categories(field)) or (_NOTHING,)]
        elif (bounds := _bounds(field)) is not None:
            type_ = Annotated[float if field.type == "float" else int, bounds]
        elif (pattern := python_pattern(field.format, field.pattern)) is not None and field.type == "string":
            type_ = Annotated[str, msgspec.Meta(pattern=pattern)]
    return type_ if field.required else Optional[type_]  # noqa: UP045  (built at run time)


def _fitting_categories(field: FieldContract) -> list[str]:
    """The categories that have the field's format as well, where it has one."""
    if field.format is None and field.pattern is None:
        return list(field.categories or ())
    return [category for category in field.categories or () if _format_test(field)(category)]


def _bounds(field: FieldContract) -> msgspec.Meta | None:
    """The field's range as msgspec writes it; None where there is none or a float cannot hold it exactly."""
    limits = (field.minimum, field.maximum)
    if field.type not in ("float", "integer") or limits == (None, None):
        return None
    if field.type == "float":
        return msgspec.Meta(ge=field.minimum, le=field.maximum)
    lowest = -(2**63) if field.minimum is None else math.ceil(field.minimum)
    highest = 2**63 - 1 if field.maximum is None else math.floor(field.maximum)
    known = [limit for limit in limits if limit is not None]
    if any(abs(limit) > _EXACT_INTEGER_MOST for limit in known):
        return None
    return msgspec.Meta(ge=lowest, le=highest)


def _outlier_checks(field: FieldContract) -> list[Callable[[list[Any]], str | None]]:
    """Functions from a column to its flag or None; none for a field that cannot be flagged."""
    checks: list[Callable[[list[Any]], str | None]] = []
    if field.type == "string" and field.categories:
        checks.append(_category_check(f"{field.name}:category", frozenset(field.categories) | {None}))
    if field.type in ("float", "integer") and (field.minimum, field.maximum) != (None, None):
        lowest = -math.inf if field.minimum is None else field.minimum
        highest = math.inf if field.maximum is None else field.maximum
        checks.append(_range_check(f"{field.name}:range", lowest, highest, required=field.required))
    if field.type == "string" and (field.format or field.pattern):
        checks.append(_format_check(f"{field.name}:format", field))
    return checks


def _format_check(flag: str, field: FieldContract) -> Callable[[list[Any]], str | None]:
    fits = _format_test(field)
    return lambda column: None if all(text is None or fits(text) for text in column) else flag


def _format_test(field: FieldContract) -> Callable[[str], bool]:
    if field.format == TIME_FORMAT and field.pattern is None:
        return _is_time
    search = re.compile(python_pattern(field.format, field.pattern) or "").search
    return lambda text: search(text) is not None


def _must_be_time(field: FieldContract) -> bool:
    return field.pattern is None and (field.role == "time" or field.hard)


def _check_times(texts: Sequence[str | None]) -> None:
    for text in texts:
        if text is not None and not _is_time(text):
            raise InvalidError(f"{show(text)} is not an ISO 8601 time")


def _category_check(flag: str, known: frozenset[str | None]) -> Callable[[list[Any]], str | None]:
    return lambda column: None if known.issuperset(column) else flag


def _range_check(
    flag: str, lowest: float, highest: float, *, required: bool
) -> Callable[[list[Any]], str | None]:
    def check(column: list[Any]) -> str | None:
        values = column if required else [value for value in column if value is not None]
        if not values or (lowest <= min(values) and max(values) <= highest):
            return None
        return flag

    return check


def _problem(field: FieldContract, value: Any) -> str | None:
    """What is wrong with a parsed JSON value, or None."""
    if value is None:
        return "is not allowed" if field.required else None
    if not _has_type(field, value):
        return f"is not {noun(field.type)}"
    if field.type == "integer" and not -(2**63) <= value < 2**63:
        return "is beyond 64 bits"
    if field.hard and field.type in ("float", "integer"):
        below = field.minimum is not None and value < field.minimum
        above = field.maximum is not None and value > field.maximum
        return "is out of range" if below or above else None
    if field.hard and field.categories is not None and value not in field.categories:
        return "is not one of the categories"
    return _format_problem(field, value) if field.type == "string" else None


def _format_problem(field: FieldContract, value: str) -> str | None:
    if field.format == TIME_FORMAT and _must_be_time(field):
        return None if _is_time(value) else "is not an ISO 8601 time"
    if not field.hard or (field.format is None and field.pattern is None) or _format_test(field)(value):
        return None
    return f"is not of the format {field.format}" if field.pattern is None else f"is not like {field.pattern}"


def _has_type(field: FieldContract, value: Any) -> bool:
    if field.type == "boolean":
        return isinstance(value, bool)
    if field.type == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if field.type == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if field.type == "datetime":
        return isinstance(value, str) and _is_time(value)
    return isinstance(value, str)


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except InvalidError:
        return False
    return text[4:5] == "-"


def _canonical(text: str) -> str:
    return format_time(parse_time(text))
