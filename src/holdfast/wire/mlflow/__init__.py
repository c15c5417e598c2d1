"""MLflow's REST surface, so that an unmodified MLflow 3 client logs to holdfast.

`app.py` routes, `messages.py` reads and writes MLflow's JSON, `envelope.py` its errors; each other module is the
endpoints of one noun: a class whose `routes()` names method, path and handler.
"""
