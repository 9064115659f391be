"""scikit-learn's callbacks (1.9 and later), told about every epoch of fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_eqprop._network import Layout, Network
from sklearn_eqprop._sklearn_compat import HAS_CALLBACKS

if TYPE_CHECKING:
    from sklearn_eqprop._estimators.fitting.training_state import TrainingState
    from sklearn_eqprop._estimators.settling import Settling


class EpochCallbacks:
    """The estimator's callbacks during one call of fit; does nothing where there are none.

    Parameters
    ----------
    estimator : Settling
        That is being fitted.
    X, y, sample_weight : as passed to fit
        For callbacks that score.
    of_fit : bool
        Whether this is fit; partial_fit, a single epoch, calls nobody.
    """

    def __init__(
        self, estimator: Settling, X: Any, y: Any, sample_weight: Any, *, of_fit: bool
    ) -> None:
        self._estimator = estimator
        self._data: dict[str, Any] = {"X": X, "y": y}
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        self._layout: Layout | None = None
        self._input_scales: np.ndarray | None = None
        self._fit_context: Any = None
        self._epoch_context: Any = None
        # In a search the callbacks of the search have been set on the estimator by now.
        if HAS_CALLBACKS and of_fit and hasattr(estimator, "_skl_callbacks"):
            self._fit_context = estimator._init_callback_context(
                task_name="fit", max_subtasks=estimator.max_iter
            )

    def begin(self, layout: Layout, input_scales: np.ndarray | None) -> None:
        """Training of a network of this layout is about to begin.

        It faces the columns of X divided by `input_scales`.
        """
        self._layout, self._input_scales = layout, input_scales
        if self._fit_context is not None:
            self._fit_context.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def epoch_begins(self) -> None:
        """Another epoch is about to begin."""
        if self._fit_context is not None:
            self._epoch_context = self._fit_context.subcontext(task_name="epoch")
            self._epoch_context.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def epoch_ended(self, network: Network, state: TrainingState) -> bool:
        """An epoch has ended; return whether a callback wants training to stop."""
        if self._epoch_context is None:
            return False

        def fitted_attributes() -> dict[str, Any]:
            assert self._layout is not None  # training has begun
            scales = self._input_scales
            fitted = self._estimator._with_weights_of(network, self._layout, scales)
            fitted.loss_curve_ = list(state.loss_curve)
            fitted.loss_ = state.loss_curve[-1]
            return fitted.__dict__

        stop = self._epoch_context.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=fitted_attributes,
            **self._data,
        )
        return bool(stop)

    def ended(self) -> None:
        """The estimator is fitted."""
        if self._fit_context is not None:
            self._fit_context.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=lambda: vars(self._estimator),
                **self._data,
            )
