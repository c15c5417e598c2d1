"""Waiting for a job of the server."""

from __future__ import annotations

import time

from holdfast.base.client import Client
from holdfast.base.errors import HoldfastError
from holdfast.base.jobs import GetJobRequest, Job, JobService

_POLL_S = 0.05


def wait_for(client: Client, job: Job, *, doing: str, failed: str, quiet: bool) -> Job:
    """Waits for a job to succeed, saying on a terminal what it does.

    Raises:
        HoldfastError: it failed; the sentence begins with `failed`.
    """
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    with console.status(f"{doing} (job {job.number})…"):
        while job.state in ("queued", "running"):
            time.sleep(_POLL_S)
            job = client.call(JobService.get, GetJobRequest(job.number))
    if job.state == "failed":
        raise HoldfastError(f"{failed}: {job.error}")
    return job
