"""What the classifier and the regressor share."""

from __future__ import annotations

from typing import Any

from sklearn_eqprop._estimators.notebook_display import NotebookDisplay
from sklearn_eqprop._estimators.parameters.parameters import PARAMETER_CONSTRAINTS


class BaseEqProp(NotebookDisplay):
    """Common part of the estimators; see `EqPropClassifier` for the parameters."""

    _parameter_constraints: dict[str, list[Any]] = PARAMETER_CONSTRAINTS

    def __sklearn_tags__(self) -> Any:
        """See scikit-learn's developer guide."""
        tags = super().__sklearn_tags__()
        preserved = ["float64", "float32"] if self.dtype == "auto" else [self.dtype]
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = preserved
        return tags
