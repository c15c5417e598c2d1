"""Models that holdfast trained and serves, and rows to ask both of their doors with."""

from __future__ import annotations

import http.client
import json
import random
import time
from urllib.parse import urlsplit

from holdfast.cli.session import start_process
from tests.server.conftest import holdfast

MODELS = """
import holdfast as hf
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

table = hf.Table("orders", source="orders.csv", time="at", label="late", label_delay="1h")


@hf.model("trees", table=table, task="binary", rollout=hf.direct())
def trees(data, params):
    return HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(data.X, data.y)


@hf.model("leaves", table=table, task="regression", rollout=hf.direct())
def leaves(data, params):
    return HistGradientBoostingRegressor(max_iter=20, random_state=1).fit(data.X, data.y)
"""
_WITH_LIGHTGBM = """

@hf.model("boosted", table=table, task="binary", rollout=hf.direct())
def boosted(data, params):
    import lightgbm
    return lightgbm.LGBMClassifier(n_estimators=15, verbosity=-1, n_jobs=1).fit(data.X, data.y)
"""
KINDS = ("rain", "sun", "fog, thick")
_HEAD = "at,price,count,kind,express,weight,late"


def names() -> list[str]:
    """The models that the libraries of this environment can train."""
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        return ["trees", "leaves"]
    return ["trees", "leaves", "boosted"]


def train_and_serve(home, folder):
    """Trains and deploys the models and starts serving; gives the processes to be ended."""
    known = names()
    (folder / "orders.py").write_text(MODELS + (_WITH_LIGHTGBM if "boosted" in known else ""))
    (folder / "orders.csv").write_text(_table())
    server = start_process(home, "server", ["--port", "0"], home.server, detached=True)
    for name in known:
        done = holdfast(home, "train", str(folder / "orders.py"), "--model", name, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        done = holdfast(home, "deploy", name)
        assert done.returncode == 0, done.stdout + done.stderr
    return [server, start_process(home, "serve", ["--port", "0"], home.serving, detached=True)]


def _table() -> str:
    rng = random.Random(3)
    lines = [_HEAD]
    for hour in range(600):
        row = ask(rng, gaps=hour % 5 == 0)
        late = int(row["price"] + row["count"] > 12 or row["kind"] == "rain")
        cells = [row["price"], row["count"], row["kind"], row["express"], row["weight"], late]
        at = f"2026-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00"
        quoted = [
            f'"{cell}"' if isinstance(cell, str) else "" if cell is None else str(cell) for cell in cells
        ]
        lines.append(",".join([at, *quoted]))
    return "\n".join(lines) + "\n"


def ask(rng, gaps=False):
    """One row as a request carries it, without its time."""
    return {
        "price": round(rng.uniform(0, 10), 2),
        "count": rng.randrange(10),
        "kind": rng.choice(KINDS),
        "express": "yes" if rng.random() < 0.5 else "no",
        "weight": None if gaps else round(rng.uniform(0, 3), 3),
    }


def rows(count=40):
    """Rows for both doors: with gaps, and with a category that training never saw."""
    rng = random.Random(11)
    found = [ask(rng, gaps=index % 4 == 0) for index in range(count)]
    found[1]["kind"] = "hail"
    return found


def served(home, name, asked):
    """What the data plane predicts, once it serves the model."""
    address = urlsplit(home.serving().url)
    stamped = [row | {"at": "2026-02-01T10:00:00"} for row in asked]
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.request("POST", f"/v1/predict/{name}", json.dumps({"rows": stamped}))
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status == 200:
            return [item["value"] for item in body["predictions"]]
        assert time.monotonic() < deadline, body
        time.sleep(0.1)
