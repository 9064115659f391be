"""scikit-learn's callbacks (version 1.9 and later), which are told about every epoch of fit."""

from collections.abc import Callable
from typing import Any

from sklearn_eqprop._estimators.fitting.state import TrainingState
from sklearn_eqprop._network import Network


class EpochCallbacks:
    """The callbacks of an estimator during one call of ``fit``.

    X, y and sample weights, as passed to ``fit``, are for callbacks that score. `estimator_with`
    returns an estimator as if it had been fitted to a network in training.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        estimator_with: Callable[[Network], Any],
    ) -> None:
        self._estimator = estimator
        self._estimator_with = estimator_with
        self._data: dict[str, Any] = {"X": X, "y": y}
        if sample_weight is not None:
            self._data["metadata"] = {"sample_weight": sample_weight}
        self._epoch_context: Any = None
        self._fit_context = estimator._init_callback_context(
            task_name="fit", max_subtasks=estimator.max_iter
        )
        self._fit_context.call_on_fit_task_begin(estimator=estimator, **self._data)

    def epoch_begins(self) -> None:
        """Tell the callbacks that an epoch is about to begin."""
        self._epoch_context = self._fit_context.subcontext(task_name="epoch")
        self._epoch_context.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def epoch_ended(self, network: Network, state: TrainingState) -> bool:
        """Tell the callbacks that an epoch has ended; return whether one of them stops training."""

        def fitted_attributes() -> dict[str, Any]:
            fitted = self._estimator_with(network)
            fitted.loss_curve_ = list(state.loss_curve)
            fitted.loss_ = state.loss_curve[-1]
            return vars(fitted)

        return bool(
            self._epoch_context.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=fitted_attributes,
                **self._data,
            )
        )

    def ended(self, attributes: dict[str, Any]) -> None:
        """Tell the callbacks that the fit has ended, with the fitted attributes."""
        self._fit_context.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=lambda: attributes,
            **self._data,
        )
