"""Windowed aggregations: sums, means, counts and more over the rows of an entity's last hour, day or month.

One function, `windows.aggregate_at`, answers for any entities at any instants. Training calls it at the instants of
its rows, the online store at the instants from now on at which a value changes: so both paths agree to the last bit.
"""
