"""The schema steps of tracking.

Rows of runs are found by a number, because a 32-digit id in every metric, parameter and tag would double their size.
`latest` repeats the experiment of its run, so that a search ordered by a metric walks one index.
"""

from __future__ import annotations

from holdfast.base.ledger.migrations import Migration

_FIRST = (
    "CREATE TABLE run (project TEXT NOT NULL, run_id TEXT NOT NULL, experiment TEXT NOT NULL,"
    " name TEXT NOT NULL, status TEXT NOT NULL, started_at {integer} NOT NULL,"
    " ended_at {integer}, created_by TEXT NOT NULL, seed {integer}, parameters TEXT NOT NULL,"
    " tags TEXT NOT NULL, datasets TEXT NOT NULL, code TEXT NOT NULL, environment TEXT NOT NULL,"
    " artifacts TEXT NOT NULL, error TEXT, PRIMARY KEY (project, run_id))",
    "CREATE INDEX run_started ON run (project, started_at, run_id)",
    "CREATE INDEX run_experiment ON run (project, experiment, started_at, run_id)",
    "CREATE TABLE metric (project TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,"
    " step {integer} NOT NULL, measured_at {integer} NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (project, run_id, key, step, measured_at, value))",
    "CREATE TABLE metric_latest (project TEXT NOT NULL, run_id TEXT NOT NULL, key TEXT NOT NULL,"
    " step {integer} NOT NULL, measured_at {integer} NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (project, run_id, key))",
)

_EXPERIMENTS = (
    "CREATE TABLE experiment (number {serial}, project TEXT NOT NULL, experiment_id {integer} NOT NULL,"
    " name TEXT NOT NULL, artifact_location TEXT NOT NULL, lifecycle TEXT NOT NULL,"
    " created_at {integer} NOT NULL, updated_at {integer} NOT NULL)",
    "CREATE UNIQUE INDEX experiment_by_id ON experiment (project, experiment_id)",
    "CREATE UNIQUE INDEX experiment_by_name ON experiment (project, name)",
    "CREATE TABLE experiment_tag (experiment_number {integer} NOT NULL, key TEXT NOT NULL,"
    " value TEXT NOT NULL, PRIMARY KEY (experiment_number, key))",
    # What ran before experiments had ids gets them in the order of the first run; 0 is "Default" everywhere.
    "INSERT INTO experiment (project, experiment_id, name, artifact_location, lifecycle, created_at,"
    " updated_at) SELECT project, CASE WHEN experiment = 'Default' THEN 0 ELSE"
    " row_number() OVER (PARTITION BY project ORDER BY min(started_at), experiment) END,"
    " experiment, '', 'active', min(started_at), min(started_at) FROM run GROUP BY project, experiment",
)

_RUNS = (
    "DROP INDEX run_started",
    "DROP INDEX run_experiment",
    "ALTER TABLE run RENAME TO run_before_2",
    "CREATE TABLE run (number {serial}, project TEXT NOT NULL, run_id TEXT NOT NULL,"
    " experiment_number {integer} NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,"
    " lifecycle TEXT NOT NULL, deleted_at {integer}, started_at {integer} NOT NULL, ended_at {integer},"
    " created_by TEXT NOT NULL, artifact_root TEXT NOT NULL, seed {integer}, datasets TEXT NOT NULL,"
    " code TEXT NOT NULL, environment TEXT NOT NULL, artifacts TEXT NOT NULL, error TEXT)",
    "INSERT INTO run (project, run_id, experiment_number, name, status, lifecycle, started_at, ended_at,"
    " created_by, artifact_root, seed, datasets, code, environment, artifacts, error)"
    " SELECT r.project, r.run_id, e.number, r.name, r.status, 'active', r.started_at, r.ended_at,"
    " r.created_by, 'mlflow-artifacts:/' || e.experiment_id || '/' || r.run_id || '/artifacts', r.seed,"
    " r.datasets, r.code, r.environment, r.artifacts, r.error"
    " FROM run_before_2 r JOIN experiment e ON e.project = r.project AND e.name = r.experiment"
    " ORDER BY r.started_at, r.run_id",
    "CREATE UNIQUE INDEX run_by_id ON run (project, run_id)",
    "CREATE INDEX run_started ON run (project, started_at, run_id)",
    "CREATE INDEX run_listed ON run (experiment_number, lifecycle, started_at, run_id)",
    # `head` is what an index can hold of a value: PostgreSQL refuses entries beyond 2,700 bytes.
    "CREATE TABLE run_parameter (run_number {integer} NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " head TEXT NOT NULL, PRIMARY KEY (run_number, key))",
    "CREATE INDEX run_parameter_value ON run_parameter (key, head, run_number)",
    "CREATE TABLE run_tag (run_number {integer} NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
    " head TEXT NOT NULL, PRIMARY KEY (run_number, key))",
    "CREATE INDEX run_tag_value ON run_tag (key, head, run_number)",
)

_METRICS = (
    "CREATE TABLE latest (run_number {integer} NOT NULL, key TEXT NOT NULL,"
    " experiment_number {integer} NOT NULL, step {integer} NOT NULL, measured_at {integer} NOT NULL,"
    " value {real} NOT NULL, is_nan {integer} NOT NULL, PRIMARY KEY (run_number, key))",
    "CREATE INDEX latest_value ON latest (experiment_number, key, is_nan, value, run_number)",
    # What was logged goes to the tail of its run as it came, one row a call; many rows become blocks, one key each.
    "CREATE TABLE metric_tail (number {serial}, run_number {integer} NOT NULL, points {integer} NOT NULL,"
    " data {bytes} NOT NULL)",
    "CREATE INDEX metric_tail_run ON metric_tail (run_number, number)",
    "CREATE TABLE metric_block (run_number {integer} NOT NULL, key TEXT NOT NULL, position {integer} NOT NULL,"
    " points {integer} NOT NULL, data {bytes} NOT NULL, PRIMARY KEY (run_number, key, position))",
)

_INPUTS = (
    "CREATE TABLE dataset_used (number {serial}, experiment_number {integer} NOT NULL, name TEXT NOT NULL,"
    " digest TEXT NOT NULL, source_type TEXT NOT NULL, source TEXT NOT NULL, fields TEXT, profile TEXT)",
    "CREATE UNIQUE INDEX dataset_used_digest ON dataset_used (experiment_number, name, digest)",
    "CREATE TABLE run_input (run_number {integer} NOT NULL, dataset_number {integer} NOT NULL,"
    " context TEXT, tags TEXT NOT NULL, PRIMARY KEY (run_number, dataset_number))",
    "CREATE TABLE run_model (run_number {integer} NOT NULL, direction TEXT NOT NULL, model_id TEXT NOT NULL,"
    " step {integer} NOT NULL, PRIMARY KEY (run_number, direction, model_id))",
)

_LOGGED_MODELS = (
    "CREATE TABLE logged_model (number {serial}, project TEXT NOT NULL, model_id TEXT NOT NULL,"
    " experiment_number {integer} NOT NULL, name TEXT NOT NULL, model_type TEXT NOT NULL,"
    " source_run_id TEXT NOT NULL, status TEXT NOT NULL, artifact_location TEXT NOT NULL,"
    " lifecycle TEXT NOT NULL, created_at {integer} NOT NULL, updated_at {integer} NOT NULL)",
    "CREATE UNIQUE INDEX logged_model_by_id ON logged_model (project, model_id)",
    "CREATE INDEX logged_model_listed ON logged_model (experiment_number, lifecycle, created_at, model_id)",
    "CREATE TABLE logged_model_parameter (model_number {integer} NOT NULL, key TEXT NOT NULL,"
    " value TEXT NOT NULL, PRIMARY KEY (model_number, key))",
    "CREATE TABLE logged_model_tag (model_number {integer} NOT NULL, key TEXT NOT NULL,"
    " value TEXT NOT NULL, PRIMARY KEY (model_number, key))",
    "CREATE TABLE logged_model_metric (model_number {integer} NOT NULL, key TEXT NOT NULL,"
    " dataset_name TEXT NOT NULL, dataset_digest TEXT NOT NULL, run_id TEXT NOT NULL,"
    " step {integer} NOT NULL, measured_at {integer} NOT NULL, value {real} NOT NULL,"
    " is_nan {integer} NOT NULL, PRIMARY KEY (model_number, key, dataset_name, dataset_digest, run_id))",
)

_ARTIFACTS = (
    "CREATE TABLE artifact (project TEXT NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL,"
    " digest TEXT NOT NULL, size_bytes {integer} NOT NULL, created_at {integer} NOT NULL,"
    " PRIMARY KEY (project, folder, name))",
    "CREATE INDEX artifact_digest ON artifact (digest)",
    "CREATE TABLE artifact_folder (project TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY (project, parent, name))",
)

_GARBAGE = (
    # The highest id of a project outlives its experiment: given again, it would lead old clients to another one.
    "CREATE TABLE experiment_collected (project TEXT PRIMARY KEY, highest_id {integer} NOT NULL)",
    "CREATE INDEX run_deleted ON run (project, deleted_at) WHERE deleted_at IS NOT NULL",
)

MIGRATIONS = (
    Migration("tracking", 1, _FIRST),
    Migration("tracking", 2, (*_EXPERIMENTS, *_RUNS, *_METRICS, *_INPUTS, *_LOGGED_MODELS, *_ARTIFACTS)),
    Migration("tracking", 3, _GARBAGE),
)
