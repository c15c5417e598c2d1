"""The floor of the serving benchmark: granian RSGI, msgspec and the same model, and nothing else.

    python bench/serving_floor.py PORT COEFFICIENT…

No validation beyond types, no routing, no log: what an answer costs before anything is promised about it.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import msgspec
import numpy as np
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from holdfast.registry.formats.linear_format import LinearModel, LinearPredictor

FLOATS = tuple(f"x{number}" for number in range(12))
WEATHER = ("clear", "rain", "snow")


class Prediction(msgspec.Struct):
    id: str
    value: float


class Answer(msgspec.Struct):
    deployment: str
    revision: int
    version: str
    predictions: list[Prediction]


def load(coefficients: tuple[float, ...]) -> Any:
    row = msgspec.defstruct("Row", [*((name, float) for name in FLOATS), ("weather", str), ("holiday", bool)])
    body = msgspec.defstruct("Body", [("rows", list[row])])  # type: ignore[valid-type]
    decode, encode = msgspec.json.Decoder(body).decode, msgspec.json.Encoder().encode
    positions = {name: float(position) for position, name in enumerate(WEATHER)}
    predict = LinearPredictor(LinearModel(coefficients, 1.0, False, (0.0,) * len(coefficients))).predict
    count = len(FLOATS)

    async def application(scope: Any, protocol: Any) -> None:
        request: Any = decode(await protocol())
        rows = [
            (*values[:count], positions[values[count]], values[count + 1])
            for values in map(msgspec.structs.astuple, request.rows)
        ]
        outputs = predict(np.array(rows, dtype=np.float64)).tolist()
        predictions = [Prediction(f"p_request.{number}", value) for number, value in enumerate(outputs)]
        protocol.response_bytes(
            200, [("content-type", "application/json")], encode(Answer("bikes", 1, "1", predictions))
        )

    return application


if __name__ == "__main__":
    given = tuple(float(text) for text in sys.argv[2:])
    MPServer(
        "floor",
        port=int(sys.argv[1]),
        interface=Interfaces.RSGI,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve(target_loader=partial(load, given), wrap_loader=False)
