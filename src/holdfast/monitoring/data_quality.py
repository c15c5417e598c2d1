"""Data quality against the training data: missing values, values outside of its range, new categories, refusals."""

from __future__ import annotations

import msgspec

from holdfast.monitoring.records import EVERYTHING, CheckState, Finding, MonitorPolicy
from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile
from holdfast.statistics.power import minimum_detectable_effect
from holdfast.statistics.significance import adjust_p_values, share_p_value

# By how much a share of rows must have grown to count. Ranges inferred from training data are narrower promises
# than types and presence, so more is borne there.
LARGEST_GROWTH = {"missing": 0.02, "new categories": 0.02, "outside range": 0.05, "rejected": 0.02}


class _Share(msgspec.Struct, frozen=True):
    """Rows with a fault among all rows, in training and now."""

    subject: str
    fault: str
    hits_before: int
    rows_before: int
    hits: int
    rows: int

    @property
    def before(self) -> float:
        return self.hits_before / self.rows_before if self.rows_before else 0.0

    @property
    def now(self) -> float:
        return self.hits / self.rows if self.rows else 0.0


def find_faults(
    policy: MonitorPolicy, reference: Profile, current: Profile, requests: int, rejected: int
) -> list[Finding]:
    """One finding for each fault that any row shows; a growth counts when it is significant and large enough.

    P-values are adjusted over all faults (Benjamini, Hochberg 1995). Where no row shows any fault, one finding
    says how much would have been seen.
    """
    shares = [
        share
        for before, now in zip(reference.columns, current.columns, strict=True)
        for share in _column_shares(before, now)
    ]
    if rejected:
        shares.append(_Share("requests", "rejected", 0, reference.row_count, rejected, requests + rejected))
    shown = [share for share in shares if share.hits or share.hits_before]
    p_values = adjust_p_values(
        [share_p_value(share.hits_before, share.rows_before, share.hits, share.rows) for share in shown]
    )
    findings = [
        _finding(policy, share, float(p_value), len(shown))
        for share, p_value in zip(shown, p_values, strict=True)
    ]
    return sorted(findings, key=lambda each: (each.state != "violated", -(each.effect or 0.0))) or [
        _nothing(policy, reference, current)
    ]


def _column_shares(
    before: NumericColumn | CategoricalColumn, now: NumericColumn | CategoricalColumn
) -> list[_Share]:
    missing = _Share(
        now.name,
        "missing",
        before.null_count + before.invalid_count,
        before.row_count,
        now.null_count + now.invalid_count,
        now.row_count,
    )
    if isinstance(now, NumericColumn):
        outside = _Share(now.name, "outside range", 0, before.count, now.outside_count, now.count)
        return [missing, outside] if before.count else [missing]
    if not isinstance(before, CategoricalColumn) or before.other_count:
        return [missing]  # A column with more categories than are pinned promises nothing.
    return [missing, _Share(now.name, "new categories", 0, before.count, now.other_count, now.count)]


def _finding(policy: MonitorPolicy, share: _Share, p_value: float, tests: int) -> Finding:
    growth, largest = share.now - share.before, LARGEST_GROWTH[share.fault]
    detectable = minimum_detectable_effect(
        share.rows_before,
        share.rows,
        alpha=policy.alpha / tests,
        measure="share_difference",
        share=share.before,
    )
    return Finding(
        subject=share.subject,
        state=_state(policy, share.rows, growth, largest, p_value, detectable),
        message=_sentence(share),
        effect=growth,
        threshold=largest,
        p_value=p_value,
        minimum_detectable_effect=detectable,
        detail={"fault": share.fault, "share": share.now, "reference_share": share.before},
    )


def _state(
    policy: MonitorPolicy, rows: int, growth: float, largest: float, p_value: float, detectable: float
) -> CheckState:
    if rows < policy.min_rows:
        return "insufficient data"
    if growth > largest and p_value <= policy.alpha:
        return "violated"
    return "ok" if detectable <= _to_exclude(policy) else "insufficient data"


def _to_exclude(policy: MonitorPolicy) -> float:
    """The growth of a share that must have been visible where "ok" is said."""
    return max(policy.effect, 0.1)


def _sentence(share: _Share) -> str:
    words = {
        "missing": "is missing or invalid in",
        "outside range": "lies outside the range of the training data in",
        "new categories": "has a category that training never saw in",
    }
    if share.fault == "rejected":
        return f"{share.hits} of {share.rows} requests ({share.now:.1%}) were rejected"
    before = f", in training {share.before:.1%}" if share.fault == "missing" else ""
    return f"{share.subject} {words[share.fault]} {share.now:.1%} of {share.rows} rows{before}"


def _nothing(policy: MonitorPolicy, reference: Profile, current: Profile) -> Finding:
    columns = max(1, len(reference.names))
    detectable = minimum_detectable_effect(
        reference.row_count, current.row_count, alpha=policy.alpha / columns, measure="share_difference"
    )
    enough = current.row_count >= policy.min_rows and detectable <= _to_exclude(policy)
    return Finding(
        subject=EVERYTHING,
        state="ok" if enough else "insufficient data",
        message=f"no faulty value in {current.row_count} rows; a share of {detectable:.1%} would have been seen",
        minimum_detectable_effect=detectable,
    )
