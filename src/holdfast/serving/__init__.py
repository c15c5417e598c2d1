"""Deployments and revisions, the data plane that answers predictions, the prediction log and labels."""
