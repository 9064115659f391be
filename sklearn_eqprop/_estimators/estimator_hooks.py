"""What differs between the classifier and the regressor."""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_eqprop._estimators.parameters.parameters import with_plain_numbers
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._sklearn_compat import CallbackSupportMixin


class EstimatorHooks(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Questions the common part asks of the classifier and the regressor."""

    _parameter_constraints: dict[str, list[Any]]

    #: How far apart hidden units are when training starts, see `initial_weights`.
    _spread_of_units = 0.0

    def _parameters(self) -> dict[str, Any]:
        """The constructor's parameters as they stand, NumPy's numbers as Python's.

        What `get_params` returns, without reading the constructor's signature every time: that
        takes as long as half the matrix products of a small minibatch.
        """
        return with_plain_numbers(self._given_parameters())

    def _given_parameters(self) -> dict[str, Any]:
        """The very objects that the constructor or `set_params` was given."""
        return {name: getattr(self, name) for name in self._parameter_constraints}

    @abstractmethod
    def _loss(self) -> Loss:
        """Loss the network is trained by; needs the targets to have been taken in."""

    @abstractmethod
    def _take_in_targets(
        self, y: np.ndarray, *, reset: bool, classes: Any = None, incremental: bool = False
    ) -> np.ndarray:
        """Learn from y what the output layer stands for, or check y against it; return it clean."""

    def _check_goes_on(self, y: np.ndarray) -> None:
        """Refuse targets that a warm start cannot go on with."""

    def _warn_about_targets(self, y: np.ndarray) -> None:
        """Warn where later targets are on another scale than the first."""

    def _standardise(
        self, y: np.ndarray, sample_weight: np.ndarray | None, *, first: bool, incremental: bool
    ) -> None:
        """Learn the scale of the targets, where there is one, from the first samples seen."""

    def _effective_weight(
        self, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> np.ndarray | None:
        """Sample weights with any further weighting of the estimator's own."""
        return sample_weight

    @abstractmethod
    def _encode(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """What the output layer is nudged towards, shape (n_samples, n_outputs_)."""

    @abstractmethod
    def _score_of_output(
        self, output: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> float:
        """Score of output states, higher is better."""

    @abstractmethod
    def _plain_targets(self, y: Any) -> Any:
        """Targets as scikit-learn's validation turns them into no other type."""

    @abstractmethod
    def _original_targets(self, y: np.ndarray) -> np.ndarray:
        """Clean targets in the shape predictions have, as scorers compare them."""

    @abstractmethod
    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """What to stratify a validation split by."""

    @property
    def _loss_name(self) -> str:
        """Name of the loss; of a loss of the user's own, that of its class."""
        return self.loss if isinstance(self.loss, str) else type(self.loss).__qualname__

    @property
    def _is_nudged(self) -> bool:
        """Whether learning nudges the output, so that β and `nudging` mean something."""
        return bool(self.gradient != "recurrent_backprop")

    @property
    def _nudge_strength(self) -> float:
        """Size of what moves the output in the second phase, in units of its error.

        A clamped output moves as far as its error, and a linear system knows no nudge.
        """
        return 1.0 if math.isinf(self.beta) or not self._is_nudged else abs(self.beta)
