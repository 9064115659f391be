"""Targets of the classifier: class labels, or a matrix of 0/1 labels (multilabel)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from sklearn_eqprop._backend import Array, ArrayBackend, NumpyBackend
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import refuse_missing
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._estimators.targets.class_weights import weight_of_classes
from sklearn_eqprop._estimators.targets.multilabel import check_multilabel, warn_about_one_hot
from sklearn_eqprop._losses import LABEL_LOSSES, MULTILABEL_LOSSES, ClassificationLoss
from sklearn_eqprop._network import Reach
from sklearn_eqprop._sklearn_compat import type_of_target


@dataclass(frozen=True)
class Labels:
    """The output layer has one unit for each class, or for each label of a multilabel target."""

    #: Sorted class labels. With multilabel targets: the numbers of the columns of y.
    classes: np.ndarray
    multilabel: bool
    loss: ClassificationLoss
    class_weight: Any
    #: Share of each target that is spread equally over the classes, or over 0 and 1 (multilabel).
    smoothing: float

    #: How far apart hidden units are when training starts, see `initial_weights`.
    spread_of_units: ClassVar[float] = 0.0

    @classmethod
    def first(
        cls, y: Any, config: Config, classes: Any, *, incremental: bool
    ) -> tuple[Labels, np.ndarray]:
        """Learn from the first y, which scikit-learn has validated, which classes there are.

        ``partial_fit`` (`incremental`) passes all labels as `classes`.

        It raises ValueError if y is not usable, or does not agree with `classes`.
        """
        y, multilabel = _clean(y, config)
        if multilabel:
            warn_about_one_hot(y)
        if classes is None and incremental and not multilabel:
            msg = (
                "classes must be passed on the first call to partial_fit. Pass all labels that "
                "will ever occur."
            )
            raise ValueError(msg)
        found = _classes_of(y, None if classes is None else _checked_classes(classes), multilabel)
        labels = cls._with(found, multilabel, config)
        if classes is not None and not multilabel:
            labels._refuse_unknown(y)
        return labels, y

    @classmethod
    def of(cls, estimator: Any, config: Config) -> Labels:
        """The labels of a fitted classifier."""
        return cls._with(estimator.classes_, estimator._multilabel, config)

    @classmethod
    def _with(cls, classes: np.ndarray, multilabel: bool, config: Config) -> Labels:
        losses = MULTILABEL_LOSSES if multilabel else LABEL_LOSSES
        smoothing = config.label_smoothing or 0.0
        return cls(classes, multilabel, config.loss_from(losses), config.class_weight, smoothing)

    @staticmethod
    def plain(y: Any) -> Any:
        """Return labels of pandas' nullable integer or boolean types as plain ones.

        All other labels are returned unchanged. scikit-learn's validation would turn nullable types
        into floats.
        """
        dtypes = getattr(y, "dtypes", None)  # a frame has one type per column
        if dtypes is None or not np.iterable(dtypes):
            dtypes = [getattr(y, "dtype", None)]
        plain = [getattr(dtype, "numpy_dtype", None) for dtype in dtypes]
        if not plain or any(dtype is None or dtype.kind not in "iub" for dtype in plain):
            return y
        return y if np.any(y.isna()) else y.to_numpy(dtype=np.result_type(*plain))

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes that describe the labels."""
        return {
            "classes_": self.classes,
            "n_outputs_": self.n_outputs,
            "_multilabel": self.multilabel,
        }

    @property
    def n_outputs(self) -> int:
        """Number of output units."""
        return int(self.classes.shape[0])

    def checked(self, y: Any, config: Config, classes: Any = None) -> np.ndarray:
        """Return later targets as an array, after a check against the first ones.

        It raises ValueError if y or `classes` does not agree with the first call.
        """
        # A column of whole numbers needs no further look, which takes long for a few rows.
        whole = y.ndim == 1 and getattr(y.dtype, "kind", "") in ("i", "u")
        y, multilabel = (y, False) if whole else _clean(y, config)
        if multilabel != self.multilabel or (multilabel and y.shape[1] != self.n_outputs):
            msg = (
                f"y has {_kind(multilabel, y)} per sample. When training started, it had "
                f"{_kind(self.multilabel, self.classes[None])}: pass the same kind of targets."
            )
            raise ValueError(msg)
        if classes is not None:
            classes = _checked_classes(classes)
            if not np.array_equal(classes, self.classes):
                msg = (
                    f"classes={classes.tolist()!r} is not the same as in the first call, which had "
                    f"{self.classes.tolist()!r}. Pass the same classes, or leave them out."
                )
                raise ValueError(msg)
        if not multilabel:
            self._refuse_unknown(y)
        return y

    def _refuse_unknown(self, y: np.ndarray) -> None:
        # Not np.setdiff1d: older NumPy cannot compare text with numbers.
        known = set(self.classes.tolist())
        unknown = [label for label in np.unique(y).tolist() if label not in known]
        if unknown:
            msg = (
                f"y holds labels {unknown} that are not in classes_ ({self.classes.tolist()}): "
                "leave out those rows, or name all classes in the first call."
            )
            raise ValueError(msg)

    def check_warm_start(self, y: np.ndarray) -> None:
        """Refuse targets in which a class of the earlier fit is missing."""
        if self.multilabel:
            return
        found = set(np.unique(y).tolist())
        missing = [label for label in self.classes.tolist() if label not in found]
        if missing:
            msg = (
                f"warm_start=True continues the earlier fit, but y holds no sample of its classes "
                f"{missing}. Set warm_start=False, or use partial_fit, which takes batches in "
                "which classes are missing."
            )
            raise ValueError(msg)

    def weight(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """Return the sample weights times the class weights; None if there are neither.

        It raises ValueError if `class_weight` is not usable.
        """
        if self.class_weight is None:
            return sample_weight
        weight = np.ones(y.shape[0]) if sample_weight is None else sample_weight
        by_class = weight_of_classes(self.class_weight, self.classes, y, weight)
        return weight * by_class[self.codes(y)]  # `rows_that_count` refuses infinite weights

    def scaled(
        self, y: np.ndarray, weight: np.ndarray | None, *, first: bool, incremental: bool
    ) -> Labels:
        """Return the labels themselves: labels have no scale to learn."""
        return self

    def loss_unit(self, y: np.ndarray) -> float:
        """Return 1: labels are coded in one way."""
        return 1.0

    def warn_about(self, y: np.ndarray) -> None:
        """Do nothing: labels have no scale that could change."""

    def warn_about_held_out(self, y: np.ndarray, of_training: np.ndarray) -> None:
        """Do nothing: labels have no scale that could differ."""

    def codes(self, y: np.ndarray) -> np.ndarray:
        """Return the targets as numbers: the places of labels in `classes`, or 0/1 labels."""
        return y if self.multilabel else np.searchsorted(self.classes, y)

    def encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """Return the targets that the output layer learns, shape (n_samples, n_outputs).

        They are 0 or 1 without smoothing.
        """
        if self.multilabel:
            target, n_choices = y.astype(dtype), 2
        else:
            target, n_choices = np.zeros((y.shape[0], self.n_outputs), dtype=dtype), self.n_outputs
            target[np.arange(y.shape[0]), self.codes(y)] = 1
        if self.smoothing:
            target *= 1 - self.smoothing
            target += self.smoothing / n_choices
        return target

    @property
    def for_scores(self) -> Labels:
        """The same labels, without smoothing."""
        return replace(self, smoothing=0.0)

    def decode(self, output: Array, backend: ArrayBackend) -> Array:
        """Return the predicted labels of output states, where the outputs live.

        Text cannot live on a device: labels that are text are NumPy's.
        """
        if self.multilabel:
            return (output > self.loss.label_threshold).astype(np.int64)
        columns = output.argmax(axis=1)
        if self.classes.dtype.kind not in "biuf":
            return self.classes[backend.to_host(columns)]
        return backend.from_host(self.classes, self.classes.dtype)[columns]

    def is_decided(self, output: np.ndarray, reach: Reach) -> np.ndarray:
        """Return which rows keep their label, however far the output still moves within `reach`."""
        if self.multilabel:
            decided = np.abs(output - self.loss.label_threshold) > reach.of_outputs()
        else:
            leader = output.argmax(axis=1)
            lead = np.take_along_axis(output, leader[:, None], axis=1) - output
            decided = lead > reach.of_differences(leader)
            np.put_along_axis(decided, leader[:, None], True, axis=1)
        return np.all(decided, axis=1)

    def decision(self, output: Array) -> Array:
        """Return confidence scores as scikit-learn's `decision_function` defines them."""
        if self.multilabel:
            return output - self.loss.label_threshold
        return output[:, 1] - output[:, 0] if self.n_outputs == 2 else output

    def score(self, output: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> float:
        """Return the accuracy of output states, as early stopping uses it.

        With multilabel targets it is the accuracy per label: whole rows are correct too rarely to
        show progress.
        """
        decided = self.decode(output, NumpyBackend())
        if self.multilabel:
            return float(np.average((decided == y).mean(axis=1), weights=weight))
        return float(accuracy_score(y, decided, sample_weight=weight))

    def constant_score(self, y: np.ndarray, weight: np.ndarray | None) -> float:
        """Return the score of predicting the most frequent label for every sample."""
        if self.multilabel:
            shares = np.average(y, axis=0, weights=weight)
            return float(np.maximum(shares, 1 - shares).mean())
        counts = np.bincount(self.codes(y), weights=weight)
        return float(counts.max() / counts.sum())

    def original(self, y: np.ndarray) -> np.ndarray:
        """Return clean targets in the shape of predictions, as scorers compare them."""
        return y

    def stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Return the classes by which to stratify a validation split; None: do not stratify."""
        return None if self.multilabel else y


def _clean(y: Any, config: Config) -> tuple[np.ndarray, bool]:
    """Return targets as an array, and whether they are multilabel.

    It raises ValueError if they are not labels, or do not go with `loss` or `class_weight`.
    """
    y = y.toarray() if hasattr(y, "toarray") else y
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    refuse_missing(y)
    _refuse_odd_labels(y)
    kind = type_of_target(y)
    if kind == "continuous-multioutput":
        msg = (
            "y has several columns of numbers that are not whole, such as probabilities of the "
            "classes. A classifier learns labels: pass y.argmax(axis=1), or use EqPropRegressor "
            "to learn the numbers."
        )
        raise ValueError(msg)
    if kind not in ("binary", "multiclass", "multilabel-indicator"):
        check_classification_targets(y)  # it finds the type again, and explains the problem
    if kind == "multiclass-multioutput":
        msg = (
            f"y has {y.shape[1]} columns of class labels, but a classifier learns one column. Wrap "
            "it in sklearn.multioutput.MultiOutputClassifier. Multilabel targets are 0 or 1."
        )
        raise ValueError(msg)
    multilabel = kind.startswith("multilabel")
    if multilabel:
        check_multilabel(y, config)
    return y, multilabel


def _classes_of(y: np.ndarray, classes: np.ndarray | None, multilabel: bool) -> np.ndarray:
    """Return the sorted classes of the first targets, or those that the user named."""
    if multilabel:
        found = np.arange(y.shape[1])
        if classes is not None and not np.array_equal(classes, found):
            msg = (
                f"classes={classes.tolist()!r}, but y has {y.shape[1]} labels per sample. Leave "
                f"classes out, or pass the numbers of the columns, {found.tolist()}."
            )
            raise ValueError(msg)
        return found
    found = unique_labels(y) if classes is None else classes
    if found.shape[0] < 2:
        msg = (
            f"The training data hold 1 class ({found.tolist()[0]!r}): a classifier needs samples "
            "of at least 2 classes."
        )
        raise ValueError(msg)
    return found


def _refuse_odd_labels(y: np.ndarray) -> None:
    """Refuse objects that are not labels, or are labels of several kinds."""
    if y.dtype != object:
        return
    # scikit-learn has its own message for bytes and for rows of labels.
    known = (str, bytes, list, tuple, set, np.ndarray)
    types = {type(label).__name__ for label in y.ravel() if not isinstance(label, known)}
    if types:
        has_text = any(isinstance(label, str) for label in y.ravel())
        held = " and ".join([*sorted(types), *(["text"] if has_text else [])])
        whole = types <= {"int", "bool"} and not has_text
        msg = (
            f"Unknown label type: y is an array of objects that holds {held}. Labels are all text, "
            f"or an array of integers or booleans: use y.astype({'int' if whole else 'str'})."
        )
        raise ValueError(msg)


def _checked_classes(classes: Any) -> np.ndarray:
    """Return the sorted labels that were passed as ``classes``; refuse anything else."""
    classes = on_host(classes)
    refuse_missing(classes, "classes", "pass labels only")
    labels = np.asarray(Labels.plain(classes))
    if labels.ndim != 1 or labels.size == 0:
        found = f"an array of shape {labels.shape}" if labels.ndim > 1 else repr(classes)
        msg = (
            f"classes must be a sequence of all class labels, not {found}. To weight samples, use "
            "the name: sample_weight=..."
        )
        raise ValueError(msg)
    if labels.dtype.kind == "f" and (labels != np.trunc(labels)).any():  # NaN, too
        held = f"{labels[labels != np.trunc(labels)][0]:g}, which is not a label"
    else:
        found = unique_labels(labels)
        if found.shape == labels.shape:
            return found
        held = f"{labels.shape[0]} entries, of which only {found.shape[0]} differ"
    msg = (
        f"classes holds {held}. It must name every class label once. To weight samples, use the "
        "name: sample_weight=..."
    )
    raise ValueError(msg)


def _kind(multilabel: bool, y: np.ndarray) -> str:
    return f"{y.shape[1]} 0/1 labels (multilabel)" if multilabel else "one label"
