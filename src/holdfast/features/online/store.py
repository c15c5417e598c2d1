"""The LMDB file behind online features: pending inputs, labelled histories, and the tails that lookups read.

Several processes read and write the same file; LMDB's lock lets one write at a time, and readers never wait.

Durability: a commit is handed to the kernel without waiting for the disk (`sync=False`), so it survives any death
of a process (kill -9 included) and costs some ten microseconds. After a power cut or a crash of the machine the
file may be inconsistent, and LMDB cannot tell; so a store that was written before the machine last started is
discarded, and versions seed a new one from their history when they are loaded. What it knew besides, the prediction
log still holds, and training reads only that.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from holdfast.base.clock import DAY_US, Micros
from holdfast.base.encoding import to_msgpack
from holdfast.features.errors import OnlineStoreError
from holdfast.features.online.backend import Change, Found, Stored
from holdfast.features.online.packing import (
    DIGEST_BYTES as GROUP_BYTES,
)
from holdfast.features.online.packing import (
    Entity,
    TailRow,
    digest_key,
    entity_key,
    find_row,
    look_up,
    pack_tail,
    time_key,
    time_of_key,
)
from holdfast.features.records import FeatureView

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_READERS_MOST = 510
_TRIMMED_MOST = 64
_decode_row = msgspec.msgpack.Decoder(dict[str, Any]).decode


class PendingInput(msgspec.Struct, frozen=True, array_like=True):
    """An input row that waits for its label: its event time, its fields, and its name by entity and time."""

    time: Micros
    row: dict[str, Any]
    alias: bytes


_decode_pending = msgspec.msgpack.Decoder(PendingInput).decode


class OnlineStore:
    """One folder with an LMDB file; open it once per process, after forking.

    Args:
        path: the folder; made where it is missing.
        map_size_bytes: the most the file may grow to. It takes only what it holds.
        pending_rows_most: inputs waiting for labels beyond this number are forgotten, the oldest first.
        pending_age_us: inputs older than this are forgotten.

    Raises:
        OnlineStoreError: the folder cannot be used; from writing, when the file is full.
    """

    entities_at_once = 4_000

    def __init__(
        self,
        path: Path,
        map_size_bytes: int = 8 << 30,
        *,
        pending_rows_most: int = 1_000_000,
        pending_age_us: int = 60 * DAY_US,
    ) -> None:
        self._environment = _open(path, map_size_bytes)
        self._pending, self._order, self._aliases, self._history, self._tails, self._marks = (
            self._environment.open_db(name)
            for name in (b"pending", b"order", b"aliases", b"history", b"tails.2", b"marks.2")
        )
        self._events = self._environment.open_db(b"events")
        self._begin = self._environment.begin
        self._pending_rows_most = pending_rows_most
        self._pending_age_us = pending_age_us
        self._views: dict[tuple[str, int], tuple[bytes, int]] = {}

    def lookup(
        self, view: FeatureView, entities: Sequence[Entity], at: Micros
    ) -> list[tuple[Any, ...] | None]:
        """The view's values of each entity at a time, in the order of `view.columns`.

        The latest row with `at - ttl <= time <= at`, as the point-in-time join has it; None where there is none.
        """
        prefix, ttl_us = self._views.get((view.name, view.version)) or self._view(view)
        if len(entities) == 1:  # what nearly every request asks for, without the lists
            with self._begin(db=self._tails) as reader:
                tail = reader.get(entity_key(prefix, entities[0]))
            return [None if tail is None else look_up(tail, at, ttl_us)]
        with self._begin(db=self._tails) as reader:
            tails = [reader.get(entity_key(prefix, entity)) for entity in entities]
        return [None if tail is None else look_up(tail, at, ttl_us) for tail in tails]

    def find(self, view: FeatureView, entities: Sequence[Entity], at: Micros) -> list[Found | None]:
        """Event time and values of each entity's latest row at a time, also where the TTL has passed."""
        prefix = self._view(view)[0]
        with self._begin(db=self._tails) as reader:
            tails = [reader.get(entity_key(prefix, entity)) for entity in entities]
        return [None if tail is None else find_row(tail, at) for tail in tails]

    def change(
        self,
        view: FeatureView,
        entities: Sequence[Entity],
        how: Change,
        marks: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Swaps what is kept of different entities, with the marks, in one transaction; see `OnlineBackend`."""
        prefix = self._view(view)[0]
        keys = [entity_key(prefix, entity) for entity in entities]
        with self.write() as transaction:
            transaction.swap(keys, how)
            for key, value in (marks or {}).items():
                transaction.put_mark(key, value)

    def forget_rows(self, entity: Mapping[str, Any]) -> int:
        """Deletes every labelled row and waiting input with these values, whichever history it is in; how many.

        What is looked up for the entity itself is deleted by `writing.forget_entity`; views over all entities
        follow with their next label.
        """
        with self.write() as transaction:
            return transaction.forget_inputs(entity) + transaction.forget_history(entity)

    def mark_of(self, key: bytes) -> bytes | None:
        """What was last kept under a mark."""
        with self._begin(db=self._marks) as reader:
            found: bytes | None = reader.get(key)
        return found

    def close(self) -> None:
        self._environment.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[OnlineTransaction]:
        """One write transaction: all of it is visible to every process at once, or none."""
        try:
            with self._begin(write=True) as transaction:
                yield OnlineTransaction(self, transaction)
        except lmdb.MapFullError as error:
            raise OnlineStoreError(
                "the online store is full", hint="raise its size, or shorten lookback and ttl of the views"
            ) from error
        except lmdb.Error as error:
            raise OnlineStoreError(
                f"the online store cannot be written ({error})", hint="check the disk"
            ) from error

    def has_mark(self, mark: bytes) -> bool:
        """Whether a mark was set, e.g. that a history was seeded."""
        with self._begin(db=self._marks) as reader:
            return reader.get(mark) is not None

    def _view(self, view: FeatureView) -> tuple[bytes, int]:
        key = (view.name, view.version)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = (digest_key("view", *key, view.digest), view.spec.ttl_us)
        return found


class OnlineTransaction:
    """What can be done in one write transaction of the store."""

    def __init__(self, store: OnlineStore, transaction: Any) -> None:
        self._store = store
        self._transaction = transaction

    def remember(self, table: str, row_id: str, at: Micros, pending: PendingInput) -> None:
        """Keeps an input until its label comes; the same id again replaces it."""
        store, key = self._store, entity_key(table.encode() + b"\0", [row_id])
        self._transaction.put(key, to_msgpack(pending), db=store._pending)
        self._transaction.put(time_key(at) + key, b"", db=store._order)
        self._transaction.put(pending.alias, row_id.encode(), db=store._aliases)

    def pending(self, table: str, row_id: str) -> PendingInput | None:
        packed = self._transaction.get(entity_key(table.encode() + b"\0", [row_id]), db=self._store._pending)
        return None if packed is None else _decode_pending(packed)

    def row_of_alias(self, alias: bytes) -> str | None:
        """The latest prediction that goes by this name."""
        found = self._transaction.get(alias, db=self._store._aliases)
        return None if found is None else found.decode()

    def forget_pending(self, at: Micros) -> None:
        """Drops inputs that are too old or too many, a few at a time, so that no request pays for all."""
        store = self._store
        excess = self._transaction.stat(store._order)["entries"] - store._pending_rows_most
        cursor = self._transaction.cursor(db=store._order)
        for _ in range(_TRIMMED_MOST):
            if not cursor.first():
                return
            key = cursor.key()
            if excess <= 0 and time_of_key(key[:8]) >= at - store._pending_age_us:
                return
            packed = self._transaction.get(key[8:], db=store._pending)
            if packed is not None:
                self._transaction.delete(key[8:], db=store._pending)
                self._forget_alias(_decode_pending(packed).alias, key[8:])
            cursor.delete()
            excess -= 1

    def _forget_alias(self, alias: bytes, pending_key: bytes) -> None:
        """Drops a name, unless a later prediction took it over."""
        row_id = self.row_of_alias(alias)
        prefix = pending_key[: pending_key.index(b"\0") + 1]
        if row_id is not None and entity_key(prefix, [row_id]) == pending_key:
            self._transaction.delete(alias, db=self._store._aliases)

    def forget_inputs(self, entity: Mapping[str, Any]) -> int:
        """Drops every waiting input that has these values; how many there were."""
        cursor, dropped = self._transaction.cursor(db=self._store._pending), 0
        going_on = cursor.first()
        while going_on and cursor.key():  # behind the last entry that was deleted there is an empty one
            if _has(_decode_pending(cursor.value()).row, entity):
                going_on = cursor.delete()
                dropped += 1
            else:
                going_on = cursor.next()
        return dropped

    def forget_history(self, entity: Mapping[str, Any]) -> int:
        """Drops every labelled row that has these values; what processes keep of its history is then read again."""
        cursor, dropped = self._transaction.cursor(db=self._store._history), 0
        going_on = cursor.first()
        while going_on and cursor.key():  # behind the last entry that was deleted there is an empty one
            if _has(_decode_row(cursor.value()), entity):
                group = cursor.key()[:GROUP_BYTES]
                going_on = cursor.delete()
                self.set_mark(group, self.mark(group) + 1)
                dropped += 1
            else:
                going_on = cursor.next()
        return dropped

    def append(
        self, group: bytes, time: Micros, row_id: bytes, row: dict[str, Any], *, replace: bool
    ) -> bool:
        """Adds a labelled row to a history; whether it was written (with `replace=False` a known one stays)."""
        key = group + time_key(time) + row_id
        written: bool = self._transaction.put(
            key, to_msgpack(row), db=self._store._history, overwrite=replace
        )
        return written

    def history(self, group: bytes, from_at: Micros) -> list[tuple[Micros, bytes, dict[str, Any]]]:
        """The rows of a history from a time on, in the order of time and row id."""
        rows = []
        cursor = self._transaction.cursor(db=self._store._history)
        going_on = cursor.set_range(group + time_key(from_at))
        width = len(group)
        while going_on:
            key, packed = cursor.item()
            if key[:width] != group:
                break
            rows.append((time_of_key(key[width : width + 8]), key[width + 8 :], _decode_row(packed)))
            going_on = cursor.next()
        return rows

    def trim(self, group: bytes, before_at: Micros) -> None:
        """Drops the rows of a history before a time."""
        cursor = self._transaction.cursor(db=self._store._history)
        end = group + time_key(before_at)
        going_on = cursor.set_range(group)
        while going_on and cursor.key() < end:
            going_on = cursor.delete()

    def put_tail(self, view: FeatureView, entity: Entity, rows: Sequence[TailRow]) -> None:
        """Replaces what lookups of an entity read."""
        key = entity_key(self._store._view(view)[0], entity)
        self._transaction.put(key, pack_tail(rows), db=self._store._tails)

    def swap(self, keys: Sequence[bytes], how: Change) -> None:
        """Reads tails and events under these keys and writes what `how` makes of them."""
        store, transaction = self._store, self._transaction
        old = [
            Stored(transaction.get(key, db=store._tails), transaction.get(key, db=store._events))
            for key in keys
        ]
        for key, before, after in zip(keys, old, how(old), strict=True):
            for database, was, value in (
                (store._tails, before.tail, after.tail),
                (store._events, before.events, after.events),
            ):
                if value is None and was is not None:
                    transaction.delete(key, db=database)
                elif value is not None and value != was:
                    transaction.put(key, value, db=database)

    def put_mark(self, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value, db=self._store._marks)

    def mark(self, key: bytes) -> int:
        """The number under a mark, 0 where there is none."""
        found = self._transaction.get(key, db=self._store._marks)
        return 0 if found is None else int.from_bytes(found, "little")

    def set_mark(self, key: bytes, number: int) -> None:
        self._transaction.put(key, number.to_bytes(8, "little"), db=self._store._marks)


def _has(row: Mapping[str, Any], entity: Mapping[str, Any]) -> bool:
    return all(name in row and row[name] == value for name, value in entity.items())


def _open(path: Path, map_size_bytes: int) -> Any:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with (path / "open.lock").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            _discard_after_restart(path)
            environment = lmdb.open(
                str(path),
                map_size=map_size_bytes,
                max_dbs=8,
                max_readers=_READERS_MOST,
                sync=False,
                metasync=False,
            )
        environment.reader_check()
    except (OSError, lmdb.Error) as error:
        raise OnlineStoreError(
            f"the online store {path} cannot be opened ({error})", hint="check the folder and the disk"
        ) from error
    return environment


def _discard_after_restart(path: Path) -> None:
    """Starts afresh where the file was written before the machine last started; see the module's docstring."""
    if was_written_before_restart(path):
        for name in ("data.mdb", "lock.mdb"):
            (path / name).unlink(missing_ok=True)
    mark_as_written_now(path)


def was_written_before_restart(path: Path) -> bool:
    """Whether a store was written before the machine last started, so that nobody can say whether it is whole."""
    written_in, boot = path / "boot", _boot()
    return boot is not None and written_in.exists() and written_in.read_text() != boot


def mark_as_written_now(path: Path) -> None:
    """Notes in which life of the machine a store is written."""
    boot = _boot()
    if boot is not None:
        (path / "boot").write_text(boot)


def _boot() -> str | None:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # no Linux: the operating system does not say, and the file is taken as it is
        return None
