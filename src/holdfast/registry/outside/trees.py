"""Decision trees from outside: whether every index in them stays inside the tree and the row.

scikit-learn follows the child and feature numbers of a tree without looking, so a forged file could make it read
beyond its memory. Children must come after their parent, as every builder writes them: then each walk ends too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from holdfast.registry.errors import UntrustedModelError

_OWNERS = ("sklearn.tree", "sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._hist")
_DEPTH_MOST = 50


def check_trees(model: Any) -> None:
    """Raises `UntrustedModelError` when a tree in the model points outside of itself or of its rows."""
    for tree, width in _trees(model, None, 0, set()):
        fits = _tree_fits(tree, width) if type(tree).__name__ == "Tree" else _predictor_fits(tree, width)
        if not fits:
            raise UntrustedModelError(
                "a decision tree in the model file points outside of itself, as no training writes it",
                hint="log the model again from where it was trained",
            )


def _trees(value: Any, width: int | None, depth: int, seen: set[int]) -> Iterator[tuple[Any, int | None]]:
    """Every tree in a model, with the number of columns of the rows that it will see."""
    if isinstance(value, str | bytes | int | float | bool | None) or depth > _DEPTH_MOST:
        return
    name = type(value).__name__
    if name in ("Tree", "TreePredictor") and type(value).__module__.startswith("sklearn."):
        yield value, width
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        inside: Any = value.values()
    elif isinstance(value, list | tuple | set):
        inside = value
    elif isinstance(value, np.ndarray):
        inside = value.ravel().tolist() if value.dtype == object else ()
    else:
        inside = vars(value).values() if hasattr(value, "__dict__") else ()
        width = _width(value, width)
    for item in inside:
        yield from _trees(item, width, depth + 1, seen)


def _width(value: Any, outer: int | None) -> int | None:
    """An ensemble looks at the width of its rows once, so the narrowest of those around a tree counts."""
    own = getattr(value, "n_features_in_", None)
    if own is None:
        return outer
    if not type(value).__module__.startswith(_OWNERS):
        return None
    return int(own) if outer is None else min(int(own), outer)


def _tree_fits(tree: Any, width: int | None) -> bool:
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    inner = left != -1
    return _children_fit(left[inner], right[inner], np.flatnonzero(inner), len(left)) and _features_fit(
        feature[inner], tree.n_features if width is None else min(width, tree.n_features)
    )


def _predictor_fits(predictor: Any, width: int | None) -> bool:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    found = nodes[inner]
    categorical = found[found["is_categorical"] != 0]["bitset_idx"]
    sets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    return (
        len(nodes) > 0
        and width is not None
        and _children_fit(found["left"], found["right"], np.flatnonzero(inner), len(nodes))
        and _features_fit(found["feature_idx"], width)
        and bool((categorical < sets).all())
    )


def _children_fit(left: Any, right: Any, parents: Any, count: int) -> bool:
    both = np.stack([left, right]).astype(np.int64)
    return bool(((both > parents) & (both < count)).all())


def _features_fit(features: Any, width: int) -> bool:
    found = np.asarray(features, dtype=np.int64)
    return bool(((found >= 0) & (found < width)).all())
