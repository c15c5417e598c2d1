"""The one status vocabulary: each word has a shape and a tone, so that colour never speaks alone.

A word that is not in the vocabulary renders neutral: a page must never fail, or claim health, because a
domain has learned a new word.
"""

from typing import Literal

import msgspec
from markupsafe import Markup

Tone = Literal["good", "bad", "warn", "info", "neutral"]
Shape = Literal["disc", "ring", "half", "check", "cross", "triangle", "diamond", "pause", "dash", "turn"]


class Status(msgspec.Struct, frozen=True):
    """One word of the vocabulary with what it means, in a few words for the tooltip."""

    word: str
    shape: Shape
    tone: Tone
    meaning: str


_WORDS: tuple[tuple[str, Shape, Tone, str], ...] = (
    ("live", "disc", "good", "takes production traffic"),
    ("ok", "check", "good", "checked, and within its limits"),
    ("passed", "check", "good", "met every rule it was measured against"),
    ("succeeded", "check", "good", "ended as intended"),
    ("approved", "check", "good", "a person agreed"),
    ("promoted", "check", "good", "became the production version"),
    ("resolved", "check", "good", "was open and is settled"),
    ("finished", "check", "good", "ended as intended"),
    ("gated", "check", "good", "passed its gates; may be rolled out"),
    ("running", "half", "info", "under way"),
    ("shadow", "half", "info", "answers a copy of the traffic; nobody sees its answers"),
    ("canary", "half", "info", "takes a small share of the traffic"),
    ("rollout", "half", "info", "a new version is on its way to production"),
    ("training", "half", "info", "a new version is being trained"),
    ("challenger", "half", "info", "is being compared with the champion"),
    ("champion", "disc", "good", "the production version"),
    ("staged", "ring", "info", "deployed to staging"),
    ("ready", "ring", "info", "could go live"),
    ("queued", "ring", "neutral", "waits for its turn"),
    ("pending", "ring", "neutral", "not decided yet"),
    ("scheduled", "ring", "neutral", "will run at a known time"),
    ("registered", "ring", "neutral", "in the registry, not deployed"),
    ("trained", "ring", "neutral", "in the registry; its gates were not judged yet"),
    ("not deployed", "dash", "neutral", "no version takes traffic yet"),
    ("aborted", "dash", "neutral", "ended before a decision; the champion stayed"),
    ("gave up", "dash", "neutral", "stayed inconclusive for too long; the champion stayed"),
    ("retired", "dash", "neutral", "no longer deployed"),
    ("superseded", "dash", "neutral", "replaced by a newer one"),
    ("cancelled", "dash", "neutral", "stopped by a person"),
    ("insufficient data", "dash", "neutral", "the data cannot say"),
    ("inconclusive", "dash", "neutral", "measured, and neither better nor worse is shown"),
    ("not supported", "dash", "neutral", "outside what the reference data covers"),
    ("unknown", "dash", "neutral", "nothing was heard"),
    ("held", "pause", "warn", "waits until someone resumes it"),
    ("paused", "pause", "warn", "waits until someone resumes it"),
    ("frozen", "pause", "warn", "automatic promotion is off"),
    ("awaiting approval", "pause", "warn", "waits for a person to agree"),
    ("blocked", "pause", "warn", "cannot go on; the page says why"),
    ("drifting", "triangle", "warn", "differs from the training data beyond its threshold"),
    ("warning", "triangle", "warn", "outside the usual, not yet a failure"),
    ("stale", "triangle", "warn", "older than its limit"),
    ("degraded", "triangle", "warn", "works, but worse than it should"),
    ("violated", "triangle", "warn", "breaks what the training data promised"),
    ("acknowledged", "triangle", "warn", "open, and someone looks after it"),
    ("open alert", "diamond", "bad", "an alert is open; the page says why"),
    ("open", "diamond", "bad", "needs attention"),
    ("failed", "cross", "bad", "did not meet its rule, or ended with an error"),
    ("killed", "cross", "bad", "was ended from outside"),
    ("error", "cross", "bad", "ended with an error"),
    ("rejected", "cross", "bad", "a person or a rule said no"),
    ("down", "cross", "bad", "does not answer"),
    ("quarantined", "cross", "bad", "was rolled back; will not be promoted automatically"),
    ("rolled back", "turn", "bad", "the previous version was put back"),
)

VOCABULARY: dict[str, Status] = {row[0]: Status(*row) for row in _WORDS}
"""Every known status word, in the order in which the patterns page shows them."""

_SHAPES: dict[Shape, str] = {
    "disc": '<circle cx="6" cy="6" r="4" fill="currentColor"/>',
    "ring": '<circle cx="6" cy="6" r="3.5" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    "half": '<circle cx="6" cy="6" r="3.5" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    '<path d="M6 2.500a3.5 3.5 0 0 1 0 7z" fill="currentColor"/>',
    "check": '<path d="M2 6.500l2.8 2.800L10 3.5" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    "cross": '<path d="M2.8 2.800l6.400 6.400m0-6.400l-6.400 6.400" fill="none" stroke="currentColor" '
    'stroke-width="1.8"/>',
    "triangle": '<path d="M6 1.800L11 10.500H1z" fill="currentColor"/>',
    "diamond": '<path d="M6 1l5 5-5 5-5-5z" fill="currentColor"/>',
    "pause": '<path d="M3.8 2.500v7m4.400-7v7" fill="none" stroke="currentColor" stroke-width="2"/>',
    "dash": '<path d="M2.5 6h7" fill="none" stroke="currentColor" stroke-width="2"/>',
    "turn": '<path d="M4.5 2L2 4.5 4.5 7M2 4.500h5a2.8 2.8 0 0 1 0 5.600H4.5" fill="none" '
    'stroke="currentColor" stroke-width="1.600"/>',
}


def status(word: str) -> Status:
    """Return what is known of a word (case, `_` and `-` do not matter); unknown words are neutral."""
    normal = word.strip().lower().replace("_", " ")
    found = VOCABULARY.get(normal) or VOCABULARY.get(normal.replace("-", " "))
    return found or Status(word=word.strip(), shape="ring", tone="neutral", meaning="")


def shape_icon(shape: Shape) -> Markup:
    """Return the 12 by 12 icon of a shape in the current text colour."""
    return Markup('<svg class="shape" viewBox="0 0 12 12" aria-hidden="true">{}</svg>').format(
        Markup(_SHAPES[shape])
    )


def badge(word: str, note: str = "") -> Markup:
    """Return the badge of a status word; `note` replaces the vocabulary's tooltip.

    >>> "badge-good" in badge("live")
    True
    """
    found = status(word)
    title = note or found.meaning
    return Markup('<span class="badge badge-{}"{}>{}{}</span>').format(
        found.tone,
        Markup(' title="{}"').format(title) if title else "",
        shape_icon(found.shape),
        found.word,
    )
