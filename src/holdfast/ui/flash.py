"""What a form did, told on the page it leads to.

The address carries the number of the decision or job, not the words: a link cannot make a page of ours say what
did not happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.base.context import Context
from holdfast.base.errors import NotFoundError
from holdfast.base.jobs import GetJobRequest
from holdfast.loop.records import GetDecisionRequest
from holdfast.ui import urls
from holdfast.ui.page import PageRequest
from holdfast.ui.services import PageServices
from holdfast.ui.words import decision_title, sentence, stopped

JobTone = Literal["good", "bad", "info"]


@dataclass(frozen=True)
class Flash:
    """The outcome of an action, with the page that tells more."""

    tone: JobTone
    title: str
    text: str
    url: str = ""
    link: str = ""


def flash_of(services: PageServices, context: Context, request: PageRequest, model: str) -> Flash | None:
    """The outcome that the query names, if it is one of this model."""
    try:
        for name, tell in (("decision", _decision), ("job", _job)):
            text = request.query.get(name, "")
            if text.isdecimal() and len(text) < 18:
                return tell(services, context, int(text), model)
    except NotFoundError:
        return None
    return None


def _decision(services: PageServices, context: Context, number: int, model: str) -> Flash | None:
    decision = services.loop.get_decision(context, GetDecisionRequest(number))
    if decision.model != model:
        return None
    undo = f" Undo: {decision.reversal}" if decision.reversal else ""
    text = f"{stopped(sentence(decision.reason))}{undo}"
    return Flash("good", decision_title(decision), text, urls.decision(number), f"Decision {number}")


def _job(services: PageServices, context: Context, number: int, model: str) -> Flash | None:
    job = services.jobs.get(context, GetJobRequest(number))
    if job.exclusive != model:
        return None
    url = urls.run(job.spec["run_id"]) if job.state != "queued" and "run_id" in job.spec else ""
    told: dict[str, tuple[JobTone, str]] = {
        "queued": ("info", "Training waits for its turn."),
        "running": ("info", "Training runs; this page follows it."),
        "succeeded": ("good", "Training ended well."),
        "failed": ("bad", sentence(job.error or "the training failed")),
    }
    tone, text = told[job.state]
    return Flash(tone, f"Job {number}: {job.state}", text, url, "Its run" if url else "")
