"""What the forms on the pages do: each calls the verb of the command of the same name, then says where to look."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.base.context import Context
from holdfast.base.errors import ConflictError, InvalidError, NotFoundError
from holdfast.loop.records import (
    AbortRequest,
    Decision,
    DeployRequest,
    PromoteRequest,
    ResumeRequest,
    RollbackRequest,
    TrainRequest,
)
from holdfast.registry.catalog.records import DeclineAliasRequest
from holdfast.registry.records import ApproveRequest
from holdfast.tracking.run_records import RunRequest
from holdfast.ui import alias_requests, urls
from holdfast.ui.services import PageServices

Parameters = Mapping[str, str]


def train(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Trains a model now."""
    job = services.loop.train(context, TrainRequest(path["name"], fields.get("reason", "")))
    return urls.with_query(urls.model(path["name"]), job=job.number)


def approve(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Approves a version; `force` with a reason overrides a failed gate or a quarantine."""
    request = ApproveRequest(
        path["name"], _number(path["version"]), fields.get("reason", ""), fields.get("force") == "yes"
    )
    version = services.registry.approve(context, request)
    return urls.with_query(urls.version(version.name, version.version), approved="yes")


def rollback(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Puts a warm version back."""
    _check_environment(services, context, path)
    to = _number(fields["to"]) if fields.get("to") else None
    result = services.loop.rollback(context, RollbackRequest(path["name"], to, fields.get("reason", "")))
    return _told(path, result.decision)


def promote(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Promotes the candidate of the open rollout."""
    _check_environment(services, context, path)
    return _told(path, services.loop.promote(context, PromoteRequest(path["name"], fields.get("reason", ""))))


def abort(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Ends the open rollout."""
    _check_environment(services, context, path)
    return _told(path, services.loop.abort(context, AbortRequest(path["name"], fields.get("reason", ""))))


def resume(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Lets the loop promote by itself again."""
    _check_environment(services, context, path)
    return _told(path, services.loop.resume(context, ResumeRequest(path["name"], fields.get("reason", ""))))


def approve_request(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Deploys the version that an alias request is about; the alias is set once it is deployed."""
    found = alias_requests.find(services, context, _number(path["number"]))
    if found is None:
        raise NotFoundError(f"there is no alias request {path['number']}", hint="see the list of requests")
    if found.state != "open":
        raise ConflictError(f"the alias request {found.number} is {found.state}")
    reason = (
        fields.get("reason", "") or f"{found.requested_by} asked for {found.alias} in request {found.number}"
    )
    trust = fields.get("trust") == "yes"
    challenger = found.alias == "challenger"
    request = DeployRequest(found.name, found.version, reason=reason, trust=trust, challenger=challenger)
    services.loop.deploy(context, request)
    return urls.with_query(urls.ALIAS_REQUESTS, decided=found.number)


def decline_request(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Declines an alias request."""
    number = _number(path["number"])
    services.aliases.decline(context, DeclineAliasRequest(number, fields.get("reason", "")))
    return urls.with_query(urls.ALIAS_REQUESTS, decided=number)


def delete_run(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Deletes a run, which can be restored."""
    services.runs.delete(context, RunRequest(path["run_id"]))
    return urls.with_query(urls.run(path["run_id"]), changed="deleted")


def restore_run(services: PageServices, context: Context, path: Parameters, fields: Parameters) -> str:
    """Restores a deleted run."""
    services.runs.restore(context, RunRequest(path["run_id"]))
    return urls.with_query(urls.run(path["run_id"]), changed="restored")


def _told(path: Parameters, decision: Decision) -> str:
    address = urls.deployment(path["environment"], path["name"])
    return urls.with_query(address, decision=decision.number)


def _check_environment(services: PageServices, context: Context, path: Parameters) -> None:
    """The verbs act in the environment of the declaration; a form of another one must not reach it."""
    declared = services.loop.declaration(context, path["name"]).spec.environment
    if declared != path["environment"]:
        raise ConflictError(
            f"{path['name']} is declared for {declared}, not for {path['environment']}",
            hint="act on its page of that environment",
        )


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise InvalidError(f"{text!r} is not a number", hint="use the form on the page")
    return int(text)
