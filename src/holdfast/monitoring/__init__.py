"""Drift, data quality, performance and alerts, measured from the prediction log against the training profile."""
