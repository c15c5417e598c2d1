"""Models from outside: an MLflow model folder becomes files, a signature and a contract that serving can use.

It happens once, when such a version is first deployed, in a child process (`child`): `mlmodel` reads what the folder
says of itself, `convert` loads the model and stores it in a safe format, `service` runs the child and registers what
it hands back. Serving never sees the folder.
"""
