"""Profiles: small, exact, mergeable summaries of a frame.

`records` holds the nouns (light to import), `algebra` merges and subtracts them, `build` makes them from
frames and arrays. Bins and categories are pinned by the baseline, so that every window of production data is
counted in the same cells as the training data and a check of any window is a merge, not a scan.
"""

from holdfast.profiles.records import CategoricalColumn, NumericColumn, Profile

__all__ = ["CategoricalColumn", "NumericColumn", "Profile"]
