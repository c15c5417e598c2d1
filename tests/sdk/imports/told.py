"""Everything a store tells of itself, as one comparable value: by MLflow's client, and by its REST API."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import urllib.parse

HIDDEN = ("holdfast.", "mlflow.prompt.is_prompt", "_mlflow_prompt_type")
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


def number(value):
    """A number that compares and that JSON can carry."""
    value = float(value)
    return value.hex() if math.isfinite(value) else str(value)


def told_by_client(uri):
    """What MLflow's client says of a store.

    It is asked in a process of its own: the client remembers by the ids of runs and models where their artifacts were,
    and those ids are the same in a store and in what was imported of it.
    """
    environ = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri}
    command = [sys.executable, __file__, uri]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _ask(uri):
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(uri, uri)
    experiments = client.search_experiments(ViewType.ALL)
    told = {"experiments": {}, "runs": {}, "logged_models": {}, "models": {}}
    for item in experiments:
        told["experiments"][item.name] = {
            "lifecycle": item.lifecycle_stage,
            "created": item.creation_time,
            "tags": _own(item.tags),
        }
        runs = client.search_runs([item.experiment_id], run_view_type=ViewType.ALL, max_results=1000)
        told["runs"].update({run.info.run_id: _run(client, run, item.name) for run in runs})
        # The client lists those of one experiment only.
        for model in client.search_logged_models([item.experiment_id]):
            told["logged_models"][model.model_id] = _logged_model(client, model, item.name)
    found = [*client.search_registered_models(), *client.search_registered_models(_PROMPTS)]
    told["models"] = {model.name: _model(client, model) for model in found}
    return told


def _run(client, run, experiment):
    info = run.info
    return {
        "experiment": experiment,
        "name": info.run_name,
        "status": info.status,
        "lifecycle": info.lifecycle_stage,
        "started": info.start_time,
        "ended": info.end_time,
        "params": run.data.params,
        "tags": _own(run.data.tags),
        "latest": {key: number(value) for key, value in run.data.metrics.items()},
        "curves": {
            key: sorted(
                [point.step, point.timestamp, number(point.value)]
                for point in client.get_metric_history(info.run_id, key)
            )
            for key in run.data.metrics
        },
        "inputs": sorted(
            [
                given.dataset.name,
                given.dataset.digest,
                given.dataset.source_type,
                given.dataset.source,
                given.dataset.schema,
                given.dataset.profile,
                sorted([tag.key, tag.value] for tag in given.tags),
            ]
            for given in run.inputs.dataset_inputs
        ),
        "outputs": sorted([found.model_id, found.step] for found in run.outputs.model_outputs),
        "artifacts": _artifacts(client, info.run_id),
    }


def _artifacts(client, run_id):
    found, waiting = {}, [None]
    while waiting:
        for item in client.list_artifacts(run_id, waiting.pop()):
            if item.is_dir:
                waiting.append(item.path)
            else:
                path = client.download_artifacts(run_id, item.path)
                with open(path, "rb") as handle:  # noqa: PTH123
                    found[item.path] = digest(handle.read())
    return found


def _logged_model(client, model, experiment):
    return {
        "experiment": experiment,
        "name": model.name,
        "status": str(model.status),
        "type": model.model_type or "",
        "run": model.source_run_id,
        "created": model.creation_timestamp,
        "params": model.params,
        "tags": _own(model.tags),
        "metrics": sorted(
            [
                metric.key,
                number(metric.value),
                metric.step,
                metric.timestamp,
                metric.run_id,
                metric.dataset_name,
                metric.dataset_digest,
            ]
            for metric in model.metrics or ()
        ),
        "artifacts": sorted(_paths(client, model.model_id)),
    }


def _paths(client, model_id):
    waiting = [None]
    while waiting:
        for item in client.list_logged_model_artifacts(model_id, waiting.pop()):
            if item.is_dir:
                waiting.append(item.path)
            else:
                yield [item.path, item.file_size]


def _model(client, model):
    asked = f"name = '{model.name}'"
    versions = client.search_model_versions(asked) or client.search_model_versions(f"{asked} AND {_PROMPTS}")
    return {
        "description": model.description or "",
        "created": model.creation_timestamp,
        "tags": _own(model.tags),
        "aliases": {alias: int(version) for alias, version in model.aliases.items()},
        "versions": {
            str(item.version): {
                "description": item.description or "",
                "run": item.run_id or "",
                "stage": item.current_stage,
                "created": item.creation_timestamp,
                "tags": _own(item.tags),
            }
            for item in versions
        },
    }


def told_by_rest(raw):
    """The same of a server, by plain requests of `Raw`; artifacts of logged models by path and size."""
    told = {"experiments": {}, "runs": {}, "logged_models": {}, "models": {}}
    body = {"max_results": 1000, "view_type": "ALL"}
    for item in raw.ok("POST", "/experiments/search", body)["experiments"]:
        told["experiments"][item["name"]] = {
            "lifecycle": item["lifecycle_stage"],
            "created": item["creation_time"],
            "tags": _own(_pairs(item.get("tags"))),
        }
        asked = {"experiment_ids": [item["experiment_id"]], "run_view_type": "ALL", "max_results": 1000}
        for run in raw.ok("POST", "/runs/search", asked).get("runs", ()):
            told["runs"][run["info"]["run_id"]] = _rest_run(raw, run, item["name"])
        asked = {"experiment_ids": [item["experiment_id"]]}
        for model in raw.ok("POST", "/logged-models/search", asked).get("models", ()):
            told["logged_models"][model["info"]["model_id"]] = _rest_logged_model(raw, model, item["name"])
    for condition in ("", "?filter=" + urllib.parse.quote(_PROMPTS)):
        for model in raw.ok("GET", f"/registered-models/search{condition}").get("registered_models", ()):
            told["models"][model["name"]] = _rest_model(raw, model)
    return told


def _rest_run(raw, run, experiment):
    info, data = run["info"], run["data"]
    latest = {metric["key"]: number(metric["value"]) for metric in data.get("metrics", ())}
    return {
        "experiment": experiment,
        "name": info["run_name"],
        "status": info["status"],
        "lifecycle": info["lifecycle_stage"],
        "started": info["start_time"],
        "ended": info.get("end_time"),
        "params": _pairs(data.get("params")),
        "tags": _own(_pairs(data.get("tags"))),
        "latest": latest,
        "curves": {key: _rest_curve(raw, info["run_id"], key) for key in latest},
        "inputs": sorted(
            [
                given["dataset"]["name"],
                given["dataset"]["digest"],
                given["dataset"]["source_type"],
                given["dataset"]["source"],
                given["dataset"].get("schema"),
                given["dataset"].get("profile"),
                sorted([tag["key"], tag["value"]] for tag in given.get("tags", ())),
            ]
            for given in run["inputs"].get("dataset_inputs", ())
        ),
        "outputs": sorted(
            [found["model_id"], found["step"]] for found in run.get("outputs", {}).get("model_outputs", ())
        ),
        "artifacts": dict(_rest_artifacts(raw, info["run_id"])),
    }


def _rest_curve(raw, run_id, key):
    query = urllib.parse.urlencode({"run_id": run_id, "metric_key": key})
    found = raw.ok("GET", f"/metrics/get-history?{query}")["metrics"]
    return sorted([point["step"], point["timestamp"], number(point["value"])] for point in found)


def _rest_artifacts(raw, run_id):
    waiting = [""]
    while waiting:
        query = urllib.parse.urlencode({"run_id": run_id, "path": waiting.pop()})
        for item in raw.ok("GET", f"/artifacts/list?{query}").get("files", ()):
            if item["is_dir"]:
                waiting.append(item["path"])
                continue
            query = urllib.parse.urlencode({"run_id": run_id, "path": item["path"]})
            status, content = raw.send("GET", f"/get-artifact?{query}")
            assert status == 200
            yield item["path"], digest(content)


def _rest_logged_model(raw, model, experiment):
    info, data = model["info"], model.get("data", {})
    return {
        "experiment": experiment,
        "name": info["name"],
        "status": info["status"].removeprefix("LOGGED_MODEL_"),
        "type": info.get("model_type", ""),
        "run": info["source_run_id"],
        "created": info["creation_timestamp_ms"],
        "params": _pairs(data.get("params")),
        "tags": _own(_pairs(info.get("tags"))),
        "metrics": sorted(
            [
                metric["key"],
                number(metric["value"]),
                metric["step"],
                metric["timestamp"],
                metric["run_id"],
                metric.get("dataset_name"),
                metric.get("dataset_digest"),
            ]
            for metric in data.get("metrics", ())
        ),
        "artifacts": sorted(_rest_paths(raw, info["model_id"])),
    }


def _rest_paths(raw, model_id):
    waiting = [""]
    while waiting:
        query = urllib.parse.urlencode({"artifact_directory_path": waiting.pop()})
        found = raw.ok("GET", f"/logged-models/{model_id}/artifacts/directories?{query}")
        for item in found.get("files", ()):
            if item["is_dir"]:
                waiting.append(item["path"])
            else:
                yield [item["path"], item["file_size"]]


def _rest_model(raw, model):
    asked, found = f"name = '{model['name']}'", ()
    for condition in (asked, f"{asked} AND {_PROMPTS}"):
        query = urllib.parse.urlencode({"filter": condition})
        found = found or raw.ok("GET", f"/model-versions/search?{query}").get("model_versions", ())
    return {
        "description": model.get("description", ""),
        "created": model["creation_timestamp"],
        "tags": _own(_pairs(model.get("tags"))),
        "aliases": {alias["alias"]: int(alias["version"]) for alias in model.get("aliases", ())},
        "versions": {
            item["version"]: {
                "description": item.get("description", ""),
                "run": item.get("run_id", ""),
                "stage": item["current_stage"],
                "created": item["creation_timestamp"],
                "tags": _own(_pairs(item.get("tags"))),
            }
            for item in found
        },
    }


def digest(content):
    return hashlib.sha256(content).hexdigest()[:16]


def without_gated(told):
    """The same without the two aliases that say what is deployed, which an import asks for and does not set."""
    models = {
        name: model
        | {
            "aliases": {
                key: at for key, at in model["aliases"].items() if key not in ("champion", "challenger")
            }
        }
        for name, model in told["models"].items()
    }
    return told | {"models": models}


def _own(tags):
    """Without what an import adds, and without the marks of prompts, which MLflow's client hides now and then."""
    return {key: value for key, value in tags.items() if not key.startswith(HIDDEN)}


def _pairs(items):
    return {item["key"]: item.get("value", "") for item in items or ()}


if __name__ == "__main__":
    print(json.dumps(_ask(sys.argv[1])))
