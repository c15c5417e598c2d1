"""Bringing in an MLflow store: a server by its URL, the SQLite file of a backend store, or an `mlruns` folder.

`source` opens one of the three behind one interface, `importer` carries what it holds to a holdfast server, and
neither needs the package mlflow. What is read is never written to.
"""

from holdfast.sdk.imports.mlflow.importer import MlflowImport
from holdfast.sdk.imports.mlflow.report import Report
from holdfast.sdk.imports.mlflow.source import open_source

__all__ = ["MlflowImport", "Report", "open_source"]
