"""Boosted trees as plain arrays: fitted by scikit-learn, kept as an `.npz` without pickle, evaluated by numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Trees:
    """A classifier of two classes. Arrays of nodes have shape (trees, nodes); a tree with fewer nodes is padded by leaves.

    feature: column that a node looks at. threshold: at most which a value goes left. missing_left: whether NaN goes left.
    left, right: places of the children. leaf: whether the node is one. value: what a leaf adds to the logit.
    start: the logit before the first tree, (1,). names: of the columns.
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray
    value: np.ndarray
    start: np.ndarray
    names: np.ndarray

    def probabilities(self, columns: np.ndarray) -> np.ndarray:
        """Return the probability of the second class of each row of (n, len(names)) columns; NaN is a missing value."""
        rows, logits = np.arange(len(columns)), np.full(len(columns), self.start[0])
        for tree in range(len(self.feature)):
            node = np.zeros(len(columns), dtype=int)
            while not self.leaf[tree, node].all():
                value = columns[rows, self.feature[tree, node]]
                goes_left = np.where(np.isnan(value), self.missing_left[tree, node], value <= self.threshold[tree, node])
                child = np.where(goes_left, self.left[tree, node], self.right[tree, node])
                node = np.where(self.leaf[tree, node], node, child)
            logits += self.value[tree, node]
        return 1 / (1 + np.exp(-logits))

    def save(self, path) -> None:
        """Write an `.npz` of plain arrays."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path) -> "Trees":
        """Read what `save` wrote; pickled content is refused.

        Raises:
            ValueError: the file lacks an array, or holds pickled ones.
        """
        with np.load(path, allow_pickle=False) as file:
            missing = [field.name for field in fields(cls) if field.name not in file.files]
            if missing:
                raise ValueError(f"{path}: lacks the arrays {missing}; expected boosted trees as `Trees.save` writes them")
            return cls(**{field.name: file[field.name] for field in fields(cls)})


def fit_trees(columns: np.ndarray, labels: np.ndarray, names: Sequence[str], trees: int = 250, leaves: int = 15, rate: float = 0.06,
              seed: int = 0) -> Trees:  # fmt: skip
    """Fit boosted trees by scikit-learn's histogram gradient boosting.

    Args:
        columns: (n, len(names)).
        labels: booleans, (n,).
        trees, leaves, rate: their number, size and learning rate.
        seed: of the columns that each split may use (three in ten).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # slow to import, needed for fitting alone

    columns = np.where(np.isnan(columns).all(axis=0), 0.0, columns)  # a column without any value cannot be binned
    model = HistGradientBoostingClassifier(
        max_iter=trees, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=min(40, max(1, len(labels) // 20)),
        l2_regularization=1.0, max_features=0.3, early_stopping=False, random_state=seed,
    ).fit(columns, labels)  # fmt: skip
    nodes = [predictor.nodes for (predictor,) in model._predictors]  # no public way; `test_retrieval_ranker` compares predictions
    most = max(len(tree) for tree in nodes)

    def padded(name: str, fill) -> np.ndarray:
        return np.stack([np.concatenate([tree[name], np.full(most - len(tree), fill, tree[name].dtype)]) for tree in nodes])

    return Trees(
        feature=padded("feature_idx", 0).astype(np.int64),
        threshold=padded("num_threshold", 0.0),
        missing_left=padded("missing_go_to_left", 0).astype(bool),
        left=padded("left", 0).astype(np.int64),
        right=padded("right", 0).astype(np.int64),
        leaf=padded("is_leaf", 1).astype(bool),
        value=padded("value", 0.0),
        start=np.ravel(model._baseline_prediction).astype(float),
        names=np.array(names),
    )
