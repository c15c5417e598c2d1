"""What a journal holds: the entries that a run writes, in the order in which the server is to see them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from holdfast.base.clock import Micros
from holdfast.tracking.log_records import BeginRun, EndStatus
from holdfast.tracking.records import RunInput


class Began(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """The run began."""

    request: BeginRun


class Resumed(msgspec.Struct, frozen=True, array_like=True, tag="resume"):
    """A run that had begun elsewhere goes on."""


class Measurements(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    """Values of some metrics at one step."""

    at: Micros
    step: int
    values: dict[str, float]


class Described(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Parameters and tags."""

    parameters: dict[str, str]
    tags: dict[str, str]


class Read(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """Datasets that the run read."""

    inputs: tuple[RunInput, ...]


class Staged(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A file that is to become the artifact `path`; a copy of it waits beside the journal."""

    path: str
    file: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The run ended."""

    ended_at: Micros
    status: EndStatus
    error: str


Entry: TypeAlias = Began | Resumed | Measurements | Described | Read | Staged | Ended

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Entry).decode
