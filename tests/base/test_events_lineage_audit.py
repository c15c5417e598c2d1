"""Events reach every listener at least once; lineage goes both ways; an edited audit trail shows."""

from __future__ import annotations

import pytest

from holdfast.base import audit, events, lineage
from holdfast.base.context import Actor, Context

ADA = Context(Actor("ada"))


@pytest.fixture
def ledger(ledger_factory):
    return ledger_factory([*events.MIGRATIONS, *lineage.MIGRATIONS, *audit.MIGRATIONS])


def emit(ledger, kind: str, **payload) -> None:
    ledger.write(lambda tx: events.emit(tx, ADA, kind, payload, 1))


def test_events_arrive_in_order_and_only_the_kinds_asked_for(ledger):
    seen: list[tuple[str, dict]] = []
    dispatcher = events.EventDispatcher(ledger)
    dispatcher.listen("collector", {"a", "b"}, lambda event: seen.append((event.kind, event.payload)))
    for kind in ("a", "c", "b"):
        emit(ledger, kind, of=kind)
    assert dispatcher.dispatch() == 2
    assert dispatcher.dispatch() == 0
    assert seen == [("a", {"of": "a"}), ("b", {"of": "b"})]


def test_a_listener_that_fails_gets_the_event_again_and_others_go_on(ledger):
    tries: list[int] = []
    others: list[int] = []

    def fails_once(event: events.Event) -> None:
        tries.append(event.number)
        if len(tries) == 1:
            raise RuntimeError("not yet")

    dispatcher = events.EventDispatcher(ledger)
    dispatcher.listen("shaky", {"a"}, fails_once)
    dispatcher.listen("sound", {"a"}, lambda event: others.append(event.number))
    emit(ledger, "a")
    emit(ledger, "a")
    dispatcher.dispatch()
    dispatcher.dispatch()
    assert tries == [1, 1, 2]
    assert others == [1, 2]


def test_cursors_outlive_the_dispatcher(ledger):
    seen: list[int] = []
    for _ in range(2):
        dispatcher = events.EventDispatcher(ledger)
        dispatcher.listen("collector", {"a"}, lambda event: seen.append(event.number))
        emit(ledger, "a")
        dispatcher.dispatch()
    assert seen == [1, 2]


def test_an_event_of_a_change_that_failed_never_happened(ledger):
    def fails(tx) -> None:
        events.emit(tx, ADA, "a", {}, 1)
        raise ValueError

    with pytest.raises(ValueError):
        ledger.write(fails)
    dispatcher = events.EventDispatcher(ledger)
    dispatcher.listen("collector", {"a"}, lambda event: pytest.fail("delivered"))
    assert dispatcher.dispatch() == 0


def test_lineage_is_followed_both_ways(ledger):
    def edges(tx) -> None:
        lineage.record_edge(tx, ADA, "data/rides@1", "trained", "tracking/run/1", 1)
        lineage.record_edge(tx, ADA, "tracking/run/1", "produced", "registry/bikes@1", 2)
        lineage.record_edge(tx, ADA, "tracking/run/1", "produced", "registry/bikes@1", 9)
        lineage.record_edge(tx, ADA, "registry/bikes@1", "deployed", "serving/production/bikes@1", 3)

    ledger.write(edges)
    with ledger.read() as reader:
        graph = lineage.graph(reader, ADA, "tracking/run/1")
        elsewhere = lineage.graph(reader, Context(Actor("ada"), "other"), "tracking/run/1")
    assert [edge.source for edge in graph.upstream] == ["data/rides@1"]
    assert [edge.target for edge in graph.downstream] == ["registry/bikes@1", "serving/production/bikes@1"]
    assert elsewhere.upstream == elsewhere.downstream == ()


def test_an_audit_chain_holds_until_somebody_edits_it(ledger):
    for index in range(5):
        ledger.write(
            lambda tx, index=index: audit.record(
                tx, ADA, "promote", f"registry/bikes@{index}", {"why": index}, index
            )
        )
    with ledger.read() as reader:
        assert audit.verify(reader) == audit.AuditVerdict(5, True)
        assert [entry.actor for entry in audit.entries(reader, ADA, "registry/bikes@3")] == ["ada"]
    ledger.write(lambda tx: tx.execute("UPDATE audit_entry SET actor = 'mallory' WHERE number = 3"))
    with ledger.read() as reader:
        assert audit.verify(reader) == audit.AuditVerdict(5, False, 3)
