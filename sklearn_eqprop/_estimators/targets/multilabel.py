"""Multilabel targets: a matrix of 0 and 1, with a column per label."""

import numpy as np

from sklearn_eqprop._estimators.data.rows import TELLING_ROWS
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import EqPropWarning


def check_multilabel(y: np.ndarray, config: Config) -> None:
    """Refuse a matrix that is not 0/1, and parameters that do not go with multilabel targets."""
    if not np.isin(y, (0, 1)).all():
        msg = (
            f"y has several columns with the values {np.unique(y)[:5].tolist()}. Multilabel "
            "targets are 0 or 1: use 1 if a sample has the label."
        )
        raise ValueError(msg)
    if config.class_weight is not None:
        msg = (
            f"class_weight={config.class_weight!r} is not supported for multilabel targets. Use "
            "class_weight=None."
        )
        raise ValueError(msg)
    if not isinstance(config.loss, str) and not hasattr(config.loss, "label_threshold"):
        msg = (
            f"loss={config.loss!r} has no attribute label_threshold, which multilabel targets "
            "need. Set it to the output above which a label is predicted."
        )
        raise ValueError(msg)


def warn_about_one_hot(y: np.ndarray) -> None:
    """Warn if a 0/1 matrix may be one-hot labels. Independent labels hardly ever look so."""
    if y.shape[0] >= TELLING_ROWS and (y.sum(axis=1) == 1).all():
        warn_at_call(
            f"Every row of y has exactly one 1 in its {y.shape[1]} columns, as one-hot labels do. "
            f"The classifier learns them as {y.shape[1]} independent labels (multilabel), and may "
            "predict none or several for a sample. If every sample has one class, pass the classes "
            "instead: y.argmax(axis=1), where y is a NumPy array.",
            EqPropWarning,
        )
