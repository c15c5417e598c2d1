"""The data plane: granian workers that answer predictions and take labels, with the control plane up or down.

A worker runs from local files alone: deployment files say what to serve, blobs hold the models, and everything
that was answered stands in the spool before the caller hears of it.
"""
