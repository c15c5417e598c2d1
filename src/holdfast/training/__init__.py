"""The training pipeline: pull, validate, features, split, train, evaluate, gates, register."""
