"""Class labels and label indicators: taken in, checked, weighted, and turned into targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.inputs import refuse_missing
from sklearn_eqprop._estimators.targets.targets import (
    checked_classes,
    one_hot,
    refuse_odd_labels,
    without_nullable_type,
)
from sklearn_eqprop._sklearn_compat import type_of_target


class ClassTargets(BaseEqProp):
    """What the targets of a classifier stand for."""

    def _take_in_targets(
        self, y: np.ndarray, *, reset: bool, classes: Any = None, incremental: bool = False
    ) -> np.ndarray:
        y = y.toarray() if hasattr(y, "toarray") else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        refuse_missing(y)
        refuse_odd_labels(y)
        kind = type_of_target(y)
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            check_classification_targets(y)  # looks for the type again, and explains
        if kind == "multiclass-multioutput":
            msg = (
                f"y has {y.shape[1]} columns of class labels, and a classifier learns one: wrap it "
                "in sklearn.multioutput.MultiOutputClassifier. Multilabel targets are 0 or 1."
            )
            raise ValueError(msg)
        multilabel = kind.startswith("multilabel")
        if multilabel and not np.isin(y, (0, 1)).all():
            msg = (
                f"y has several columns with the values {np.unique(y)[:5].tolist()}: multilabel "
                "targets are 0 or 1, 1 where a sample has the label."
            )
            raise ValueError(msg)
        if multilabel and self.class_weight is not None:
            msg = f"class_weight={self.class_weight!r} is not supported for multilabel targets."
            raise ValueError(msg)
        if multilabel and not (isinstance(self.loss, str) or hasattr(self.loss, "label_threshold")):
            msg = (
                f"loss={self.loss!r} has no attribute label_threshold, the output above which a "
                "label is predicted; multilabel targets need it."
            )
            raise ValueError(msg)
        if reset and incremental and classes is None and not multilabel:
            msg = "classes must be passed on the first call to partial_fit: all labels ever."
            raise ValueError(msg)
        if classes is not None:
            classes = checked_classes(classes)
        if reset:
            self._set_classes(y, classes, multilabel=multilabel)
        else:
            self._check_labels(y, classes, multilabel=multilabel)
        return y

    def _set_classes(self, y: np.ndarray, classes: Any, *, multilabel: bool) -> None:
        if multilabel:
            found = np.arange(y.shape[1])
            if classes is not None and not np.array_equal(classes, found):
                msg = (
                    f"classes={classes.tolist()!r}, but y has {y.shape[1]} labels a sample: leave "
                    f"classes out, or pass the numbers of the columns, {found.tolist()}."
                )
                raise ValueError(msg)
        else:
            found = unique_labels(y) if classes is None else classes
            if found.shape[0] < 2:
                msg = (
                    f"The training data hold 1 class ({found.tolist()[0]!r}); a classifier needs "
                    "samples of at least 2 classes."
                )
                raise ValueError(msg)
        self._multilabel = multilabel
        self.classes_ = found
        self.n_outputs_ = found.shape[0]
        if classes is not None and not multilabel:
            self._check_labels(y, None, multilabel=False)

    def _check_labels(self, y: np.ndarray, classes: Any, *, multilabel: bool) -> None:
        if multilabel != self._multilabel or (multilabel and y.shape[1] != self.n_outputs_):
            was = f"multilabel with {self.n_outputs_} labels" if self._multilabel else "one label"
            now = f"multilabel with {y.shape[1]} labels" if multilabel else "one label"
            msg = f"y was {was} a sample when training started and is now {now}."
            raise ValueError(msg)
        if classes is not None and not np.array_equal(classes, self.classes_):
            msg = (
                f"classes={classes.tolist()!r} is not the same as in the first call, which had "
                f"{self.classes_.tolist()!r}."
            )
            raise ValueError(msg)
        if not multilabel:
            # Not np.setdiff1d: older NumPy cannot compare text with numbers.
            known = set(self.classes_.tolist())
            unknown = [label for label in np.unique(y).tolist() if label not in known]
            if unknown:
                msg = (
                    f"y holds labels {unknown} that are not in classes_ "
                    f"({self.classes_.tolist()}): leave out those rows, or name all classes "
                    "in the first call."
                )
                raise ValueError(msg)

    def _check_goes_on(self, y: np.ndarray) -> None:
        if self._multilabel:
            return
        found = set(np.unique(y).tolist())
        missing = [label for label in self.classes_.tolist() if label not in found]
        if missing:
            msg = (
                f"y holds no sample of the classes {missing} of the earlier fit, which "
                "warm_start=True goes on with: set warm_start=False, or use partial_fit, which "
                "takes batches without some of them."
            )
            raise ValueError(msg)

    def _effective_weight(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        columns = np.searchsorted(self.classes_, y)
        weight = np.ones(y.shape[0]) if sample_weight is None else sample_weight
        if self.class_weight == "balanced":
            # Counts are sums of weights, so that a weight of 2 is the same as two rows.
            counts = np.bincount(columns, weights=weight, minlength=self.n_outputs_)
            n_present = np.count_nonzero(counts)
            by_class = weight.sum() / (n_present * np.where(counts > 0, counts, 1.0))
        else:
            try:
                by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            except (ValueError, TypeError) as error:
                msg = (
                    f"class_weight={self.class_weight!r} is not usable: {error}. Pass a number for "
                    f"each of the classes {self.classes_.tolist()}, or 'balanced'."
                )
                raise ValueError(msg) from None
        if np.count_nonzero(by_class) < 2:
            msg = (
                f"class_weight={self.class_weight!r} leaves out all but one of the classes "
                f"{self.classes_.tolist()}; at least two need a weight other than 0."
            )
            raise ValueError(msg)
        with np.errstate(over="ignore"):  # refused with the name of where it comes from
            return weight * by_class[columns]

    def _encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        return y.astype(dtype) if self._multilabel else one_hot(y, self.classes_, dtype)

    def _plain_targets(self, y: Any) -> Any:
        return without_nullable_type(y)

    def _original_targets(self, y: np.ndarray) -> np.ndarray:
        return y

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None if self._multilabel else y
