"""Taking labels: by prediction id, or by entity and time. They are in the spool before they are accepted."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from holdfast.base.clock import Micros
from holdfast.base.errors import HoldfastError
from holdfast.serving.entity_labels import entity_id
from holdfast.serving.plane.errors import RequestError, TooLargeError
from holdfast.serving.plane.loaded import LoadedDeployment
from holdfast.serving.plane.moments import Moments, RequestIds, moment
from holdfast.serving.plane.requests import ROWS_MOST, decode, shown
from holdfast.serving.records import LabelFrame, RejectionFrame, ServedVersion

_PREDICTION_ID = re.compile(r"p_[A-Za-z0-9_.\-]{1,64}\.\d{1,6}")


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label. `id` names a prediction; or `time` its event time and `entity` its key. `at`: when it was known."""

    value: float | bool
    id: str | None = None
    entity: dict[str, str | int | float | bool] | None = None
    time: str | None = None
    at: str | None = None


class LabelsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/labels/{name}`."""

    labels: list[Label]


class Accepted(msgspec.Struct, frozen=True):
    """How many labels are in the log now."""

    accepted: int


_decoder = msgspec.json.Decoder(LabelsBody)


class LabelTaker:
    """Takes labels in one worker; safe to call from several threads."""

    def __init__(self, moments: Moments, ids: RequestIds) -> None:
        self._moments = moments
        self._ids = ids

    def take(self, deployment: LoadedDeployment, body: bytes) -> bytes:
        """Answers a body of `POST /v1/labels/{name}`: all of its labels are accepted, or none.

        Raises:
            HoldfastError: the request is refused (and that is logged), or the log cannot be written.
        """
        try:
            frame = self._read(deployment, body)
        except HoldfastError as error:
            now = self._moments.now()
            rejection = RejectionFrame(
                self._ids.of_request(None), now, now, error.error_code, str(error), error.field
            )
            deployment.writer.append([rejection])
            raise
        deployment.writer.append([frame])
        if deployment.features is not None:
            deployment.features.push(frame)
        return msgspec.json.encode(Accepted(len(frame.ids)))

    def _read(self, deployment: LoadedDeployment, body: bytes) -> LabelFrame:
        labels = decode(_decoder, body).labels
        if not labels:
            raise RequestError("labels is empty", hint="send at least one label", field="labels")
        if len(labels) > ROWS_MOST:
            raise TooLargeError(f"labels holds {len(labels)}, at most {ROWS_MOST} fit", field="labels")
        champion = deployment.champion()
        binary = champion.served.signature.task == "binary"
        by_time = champion.has_times or deployment.features is not None or self._moments.simulated
        ids: list[str] = []
        values: list[float] = []
        known_at: list[Micros] = []
        for number, label in enumerate(labels):
            place = f"labels[{number}]"
            ids.append(_identity(label, champion.served, place, by_time=by_time))
            values.append(_value(label, place, binary=binary))
            known_at.append(self._moments.of_label(label.at, f"{place}.at"))
        at = max(known_at)
        received_at = at if self._moments.simulated else self._moments.now()
        return LabelFrame(at, received_at, ids, values, known_at)


def _identity(label: Label, served: ServedVersion, place: str, *, by_time: bool) -> str:
    key = served.key
    if label.id is not None:
        if label.time is not None or label.entity is not None:
            raise RequestError(
                f"{place} names its prediction twice", hint="send an id, or an entity and a time", field=place
            )
        if _PREDICTION_ID.fullmatch(label.id) is None:
            raise RequestError(
                f"{place}.id: {shown(label.id)} is not a prediction id",
                hint="send the id that the prediction's answer carried (p_…)",
                field=f"{place}.id",
            )
        return label.id
    if label.time is None or not by_time:
        other = f", or its time{' and entity (' + ', '.join(key) + ')' if key else ''}" if by_time else ""
        raise RequestError(
            f"{place} does not say which prediction it is about",
            hint=f"send the prediction's id{other}",
            field=f"{place}.id",
        )
    return entity_id(moment(label.time, f"{place}.time"), _key_values(label.entity or {}, served, place))


def _key_values(entity: dict[str, Any], served: ServedVersion, place: str) -> list[Any]:
    """The key as the contract has it: a number sent as 3 and as 3.0 is the same entity."""
    key = served.key
    if set(entity) != set(key):
        expected = f"the key {', '.join(key)}" if key else "nothing: the table has no key"
        raise RequestError(
            f"{place}.entity holds {', '.join(sorted(entity)) or 'nothing'}",
            hint=f"it must hold {expected}",
            field=f"{place}.entity",
        )
    types = {field.name: field.type for field in served.contract.fields}
    return [
        float(entity[name]) if types.get(name) == "float" and type(entity[name]) is int else entity[name]
        for name in key
    ]


def _value(label: Label, place: str, *, binary: bool) -> float:
    value = float(label.value)
    field = f"{place}.value"
    if not math.isfinite(value):
        raise RequestError(f"{field} is not a finite number", field=field)
    if binary and value not in (0.0, 1.0):
        raise RequestError(f"{field}: {value:g} is not 0 or 1, the classes of the model", field=field)
    return value
