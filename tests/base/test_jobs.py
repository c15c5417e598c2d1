"""Jobs: submitted with their decision, done once, whatever dies in between."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdfast.base import jobs, processes
from holdfast.base.clock import SimulatedClock
from holdfast.base.context import Actor, Context
from holdfast.base.errors import ConflictError, NotFoundError, UserCodeError

ADA = Context(Actor("ada"))


@pytest.fixture
def ledger(ledger_factory):
    return ledger_factory(jobs.MIGRATIONS)


@pytest.fixture
def service(ledger):
    return jobs.JobService(ledger, SimulatedClock(7))


def submit(ledger, exclusive: str = "bikes", **spec) -> int:
    return ledger.write(lambda tx: jobs.submit(tx, ADA, "train", exclusive, spec, 1))


def test_a_job_runs_and_keeps_its_result(ledger, service):
    service.handle("train", lambda job, tell: {"doubled": job.spec["x"] * 2})
    number = submit(ledger, x=21)
    assert service.run_next() and not service.run_next()
    job = service.get(ADA, jobs.GetJobRequest(number))
    assert (job.state, job.result, job.ended_at, job.actor) == ("succeeded", {"doubled": 42}, 7, ADA.actor)


def test_a_second_open_job_of_the_same_kind_and_name_is_refused(ledger, service):
    submit(ledger)
    with pytest.raises(ConflictError, match="already has a train job"):
        submit(ledger)
    submit(ledger, "other")
    assert [job.exclusive for job in service.open_jobs()] == ["bikes", "other"]


@pytest.mark.parametrize("error", [UserCodeError("no fit"), ZeroDivisionError("0")])
def test_a_failed_job_says_why_and_frees_its_name(ledger, service, error):
    def fails(job, tell):
        raise error

    service.handle("train", fails)
    number = submit(ledger)
    service.run_next()
    job = service.get(ADA, jobs.GetJobRequest(number))
    assert job.state == "failed"
    assert str(error) in job.error
    assert submit(ledger) == number + 1


def test_an_attempt_that_was_taken_over_writes_nothing(ledger, service):
    def loses_its_lease(job, tell):
        service.recover()
        return {"from": "the old attempt"}

    service.handle("train", loses_its_lease)
    number = submit(ledger)
    service.run_next()
    assert service.get(ADA, jobs.GetJobRequest(number)).state == "queued"
    service.handle("train", lambda job, tell: {"from": job.attempt})
    service.run_next()
    assert service.get(ADA, jobs.GetJobRequest(number)).result == {"from": 2}


def test_recovery_ends_the_old_child_before_the_job_runs_again(ledger, service, tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)

    def crashes(job, tell):
        tell(child.pid)
        raise SystemExit  # what kill -9 leaves: a running job and a living child

    service.handle("train", crashes)
    submit(ledger)
    with pytest.raises(SystemExit):
        service.run_next()
    assert processes.start_mark(child.pid) is not None
    assert jobs.JobService(ledger, SimulatedClock(7)).recover() == 1
    assert child.wait(timeout=5) != 0


def test_a_pid_that_was_given_to_another_process_is_left_alone():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        processes.kill_group(child.pid, "another life")
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_jobs_of_another_project_are_not_there(ledger, service):
    number = submit(ledger)
    with pytest.raises(NotFoundError):
        service.get(Context(Actor("ada"), "other"), jobs.GetJobRequest(number))
