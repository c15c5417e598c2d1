"""Statistics: pure functions over small sufficient summaries, without input, output, clock or state.

`distances`, `significance`, `power`   measures of change, p-values, and what a sample size could have shown
`drift`, `variation`, `drift_decision`  two profiles compared; how much the reference varies by itself; the rule that
                                       turns both into states
`intervals`, `sequential`              intervals at a fixed time; intervals and evidence that may be peeked at
`metrics`, `performance`               quality of predictions; quality now against a reference

`summaries` says what a profile must offer to be compared; this package knows nothing else of profiles.
Importing a module here loads numpy; scipy.special is loaded by the functions that need it.
"""

__all__ = [
    "distances",
    "drift",
    "drift_decision",
    "intervals",
    "metrics",
    "performance",
    "power",
    "sequential",
    "significance",
    "summaries",
    "variation",
]
