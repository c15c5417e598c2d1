"""holdfast keeps machine-learning models working in the real world."""

__version__ = "0.1.0"
