"""The servers that the figures are compared with: what an answer costs before anything is promised about it.

python -m bench.floor model PORT COEFFICIENT…    granian RSGI, msgspec and the same model: no routing, no log
python -m bench.floor nothing PORT               granian RSGI that answers at once: the load generator's ceiling
python -m bench.floor durable PORT FILE          granian RSGI, and one durable SQLite commit before the answer
python -m bench.floor starlette PORT             granian with Starlette and one route
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

FLOATS = tuple(f"x{number}" for number in range(12))
WEATHER = ("clear", "rain", "snow")
_JSON = [("content-type", "application/json")]


def load_nothing() -> Any:
    """An application that reads the body and answers."""

    async def application(scope: Any, protocol: Any) -> None:
        await protocol()
        protocol.response_bytes(200, _JSON, b"{}")

    return application


def load_durable(path: str) -> Any:
    """An application that keeps the body in a row of SQLite, synced, before it answers."""
    import sqlite3

    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    async def application(scope: Any, protocol: Any) -> None:
        body = await protocol()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO kept (body) VALUES (?)", (body,))
        connection.execute("COMMIT")
        protocol.response_bytes(200, _JSON, b"{}")

    return application


def load_model(coefficients: tuple[float, ...]) -> Any:
    """An application that decodes rows, predicts and encodes."""
    import msgspec
    import numpy as np

    from holdfast.registry.formats.linear_format import LinearModel, LinearPredictor

    prediction = msgspec.defstruct("Prediction", [("id", str), ("value", float)])
    answer = msgspec.defstruct(
        "Answer",
        [("deployment", str), ("revision", int), ("version", str), ("predictions", list[prediction])],
    )
    row = msgspec.defstruct("Row", [*((name, float) for name in FLOATS), ("weather", str), ("holiday", bool)])
    body = msgspec.defstruct("Body", [("rows", list[row])])
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
        predictions = [prediction(f"p_request.{number}", value) for number, value in enumerate(outputs)]
        protocol.response_bytes(200, _JSON, encode(answer("bikes", 1, "1", predictions)))

    return application


def serve_rsgi(port: int, load: Any) -> None:
    """Serves an RSGI application with one worker."""
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.mp import MPServer

    server = MPServer(
        "floor", port=port, interface=Interfaces.RSGI, websockets=False, log_level=LogLevels.warning
    )
    server.serve(target_loader=load, wrap_loader=False)


def serve_starlette(port: int) -> None:
    """Serves /health as a control plane without content would."""
    import asyncio

    from granian.constants import Interfaces
    from granian.server.embed import Server
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def health(request: Any) -> Response:
        return Response(b"{}", media_type="application/json")

    app = Starlette(routes=[Route("/health", health)])
    server = Server(
        app,
        "127.0.0.1",
        port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        runtime_threads=1,
    )
    asyncio.run(server.serve())


if __name__ == "__main__":
    kind, number, *rest = sys.argv[1:]
    if kind == "starlette":
        serve_starlette(int(number))
    elif kind == "nothing":
        serve_rsgi(int(number), load_nothing)
    elif kind == "durable":
        serve_rsgi(int(number), partial(load_durable, rest[0]))
    else:
        serve_rsgi(int(number), partial(load_model, tuple(float(text) for text in rest)))
