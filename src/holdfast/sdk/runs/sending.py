"""Sending what the journals of a run hold. Everything may be sent twice; the server takes it once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec

from holdfast.base.client import Client
from holdfast.base.clock import Micros
from holdfast.base.context import Actor, Context
from holdfast.base.errors import HoldfastError, InvalidError, RemoteError, UnavailableError
from holdfast.sdk.runs.entries import Began, Described, Ended, Entry, Measurements, Read, Resumed, Staged
from holdfast.sdk.runs.folder import Destination, RunFolder
from holdfast.sdk.runs.journal import JournalFile, Place
from holdfast.sdk.runs.uploads import upload
from holdfast.tracking.log_records import EndRun, LogToRun, NoteInputs, PointGiven, ResumeRun
from holdfast.tracking.policy import METRICS_MOST, PAIRS_MOST
from holdfast.tracking.records import measured
from holdfast.tracking.service.run_log import RunLogService

T = TypeVar("T")
Parcel: TypeAlias = "tuple[list[LogToRun] | Entry, int]"

_TIMEOUT_S = 30.0
# A round of sending gives others their turn after so many parcels.
_PARCELS_MOST = 50
_KILLED = "the process that logged it ended without a word: it was killed, or its machine went down"


class RunRefusedError(HoldfastError):
    """The server takes nothing more for a run: it is deleted, or was never known."""


class Link:
    """A server as one person reaches it in one project; not shared between threads."""

    def __init__(self, url: str, project: str, actor: str) -> None:
        self.url = url
        self._client = Client(url, Context(Actor(actor), project), timeout_s=_TIMEOUT_S)

    def call(self, verb: Any, request: msgspec.Struct) -> Any:
        """Calls a verb; an answer that the server failed counts as none.

        Raises:
            UnavailableError: trying again later can help.
            RemoteError: the server refused, and will again.
        """
        try:
            return self._client.call(verb, request)
        except RemoteError as error:
            if error.remote_status >= 500:
                raise UnavailableError(str(error)) from error
            raise

    def close(self) -> None:
        self._client.close()


def send(folder: RunFolder, destination: Destination, link: Link, problems: list[str]) -> bool:
    """Sends a part of what waits, the end of the run last; True when something may be left.

    Raises:
        UnavailableError: the server does not answer.
        RunRefusedError: it takes nothing more for this run.
    """
    sent = 0
    for with_end in (False, True):
        for journal in folder.journals():
            for parcel, end in _parcels(folder.run_id, journal.entries(journal.acknowledged)):
                if isinstance(parcel, Ended) and not with_end:
                    break
                _deliver(folder, destination, parcel, link, problems)
                journal.acknowledge(end)
                sent += 1
                if sent >= _PARCELS_MOST:
                    return True
            else:
                _set_aside_damage(journal, problems)
        folder.remove_sent()
    return False


def end_as_killed(folder: RunFolder, link: Link, at: Micros) -> bool:
    """Ends a run whose process is gone and said nothing; False where somebody writes or the end is known."""
    with folder.guarded():
        if folder.has_ended() or folder.has_writers():
            return False
    link.call(RunLogService.end, EndRun(folder.run_id, at, "killed", _KILLED))
    folder.set_ended(True)
    folder.remove_sent()
    return True


def _parcels(run_id: str, places: Iterable[Place]) -> Iterator[Parcel]:
    """What is sent at once, and the position up to which it acknowledges."""
    points: list[PointGiven] = []
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    last = 0
    for entry, end in places:
        if isinstance(entry, Measurements):
            points.extend(
                PointGiven(key, measured(value), entry.at, entry.step) for key, value in entry.values.items()
            )
        elif isinstance(entry, Described):
            parameters.update(entry.parameters)
            tags.update(entry.tags)
        else:
            if last:
                yield _messages(run_id, points, parameters, tags), last
                points, parameters, tags, last = [], {}, {}, 0
            yield entry, end
            continue
        last = end
        if len(points) >= METRICS_MOST or len(parameters) >= PAIRS_MOST or len(tags) >= PAIRS_MOST:
            yield _messages(run_id, points, parameters, tags), last
            points, parameters, tags, last = [], {}, {}, 0
    if last:
        yield _messages(run_id, points, parameters, tags), last


def _messages(
    run_id: str, points: list[PointGiven], parameters: dict[str, str], tags: dict[str, str]
) -> list[LogToRun]:
    found = [LogToRun(run_id, points=part) for part in _parts(points, METRICS_MOST)]
    found += [LogToRun(run_id, parameters=dict(part)) for part in _parts(parameters.items(), PAIRS_MOST)]
    found += [LogToRun(run_id, tags=dict(part)) for part in _parts(tags.items(), PAIRS_MOST)]
    return found


def _parts(items: Iterable[T], most: int) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while part := tuple(itertools.islice(iterator, most)):
        yield part


def _deliver(
    folder: RunFolder,
    destination: Destination,
    parcel: list[LogToRun] | Entry,
    link: Link,
    problems: list[str],
) -> None:
    try:
        match parcel:
            case list():
                for message in parcel:
                    _log(message, link, problems)
            case Began():
                link.call(RunLogService.begin, parcel.request)
            case Resumed():
                link.call(RunLogService.resume, ResumeRun(folder.run_id))
                folder.set_ended(False)
            case Read():
                link.call(RunLogService.note_inputs, NoteInputs(folder.run_id, parcel.inputs))
            case Staged():
                _send_staged(folder, destination, parcel, link)
            case Ended():
                request = EndRun(folder.run_id, parcel.ended_at, parcel.status, parcel.error)
                link.call(RunLogService.end, request)
                folder.set_ended(True)
    except (RemoteError, InvalidError) as error:
        if isinstance(parcel, Began) or _concerns_the_run(error):
            raise RunRefusedError(str(error)) from error
        problems.append(str(error))


def _log(message: LogToRun, link: Link, problems: list[str]) -> None:
    """Sends a message; of one that is refused, everything but what is at fault."""
    try:
        link.call(RunLogService.log, message)
    except RemoteError as error:
        if _concerns_the_run(error):
            raise
        halves = _halves(message)
        if not halves:
            problems.append(str(error))
        for half in halves:
            _log(half, link, problems)


def _halves(message: LogToRun) -> list[LogToRun]:
    """A message in two; nothing for one that holds one thing only."""
    for field in ("points", "parameters", "tags"):
        items = list(getattr(message, field).items() if field != "points" else getattr(message, field))
        if len(items) > 1:
            middle = len(items) // 2
            kind = tuple if field == "points" else dict
            return [
                msgspec.structs.replace(message, **{field: kind(part)})
                for part in (items[:middle], items[middle:])
            ]
    return []


def _send_staged(folder: RunFolder, destination: Destination, staged: Staged, link: Link) -> None:
    file = folder.files / staged.file
    if file.exists():  # it is not when it was sent just before this process was killed
        upload(link.url, destination, staged.path, file)
        file.unlink(missing_ok=True)


def _concerns_the_run(error: HoldfastError) -> bool:
    return error.error_code in ("not_found", "not_active")


def _set_aside_damage(journal: JournalFile, problems: list[str]) -> None:
    """Puts a complete file with bytes that are no entries (after a power cut) where nobody reads it again."""
    if not journal.waiting() or not journal.is_closed() or any(journal.entries(journal.acknowledged)):
        return
    kept = journal.path.with_name(journal.path.name + ".damaged")
    journal.path.rename(kept)
    problems.append(f"the end of a journal cannot be read; it is kept in {kept}")
