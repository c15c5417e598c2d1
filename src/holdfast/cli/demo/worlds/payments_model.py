"""Fraud detection for card payments: a whole production model in one file.

`payments.parquet` beside this file holds the payments so far. From then on the table grows by what serving logs,
joined with the labels that arrive one to four days later.
"""

from sklearn.ensemble import HistGradientBoostingClassifier

import holdfast as hf

payments = hf.Table(
    "payments",
    source="payments.parquet",
    time="paid_at",
    key="payment",
    label="fraud",
    label_delay="4d",
)


@hf.model(
    "payment-fraud",
    table=payments,
    task="binary",
    gates=[hf.at_least("roc_auc", 0.65), hf.no_worse_than_production("log_loss", margin=0.15)],
    rollout=hf.canary(steps=[10, 50, 100], hold="2d"),
    retrain=hf.retrain(on=["drift", "performance"], cooldown="20d"),
    holdout="4d",
    seed=7,
)
def train(data: hf.TrainingSet, params: hf.Params) -> HistGradientBoostingClassifier:
    """Boosted trees; the probability of class 1 is the answer."""
    settings = {
        "max_iter": 60,
        "learning_rate": 0.15,
        "max_leaf_nodes": 15,
        "early_stopping": False,
        **params,
    }
    return HistGradientBoostingClassifier(random_state=7, **settings).fit(data.X, data.y)
