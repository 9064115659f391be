"""The fitted attributes: published after training, read back as a network."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from sklearn_eqprop._backend import ArrayBackend, NumpyBackend, available_backend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.estimator_hooks import EstimatorHooks
from sklearn_eqprop._estimators.fitted.fitted_network import FittedArrays, checked_arrays
from sklearn_eqprop._estimators.fitted.model_file import packed_estimator, unpacked_estimator
from sklearn_eqprop._estimators.fitting.training_state import TrainingState
from sklearn_eqprop._estimators.parameters.parameters import loop_bound
from sklearn_eqprop._network import Layout, Network, wired_network


class FittedAttributes(EstimatorHooks):
    """What `fit` leaves on the estimator."""

    def _publish(
        self, arrays: FittedArrays, state: TrainingState, n_epochs: int, backend: str
    ) -> None:
        """Set every fitted attribute."""
        self.backend_ = backend
        self._set_arrays(arrays)
        self._checked_parameters = self._given_parameters()
        bound = loop_bound(self._parameters())
        state.remember_weights(bound, arrays.in_loops)
        self._training_state = state
        self.n_iter_ = n_epochs
        self.t_ = state.n_samples_seen
        self.loss_curve_ = state.loss_curve
        curve = state.loss_curve or [math.nan]  # empty: interrupted in the first epoch
        self.loss_ = curve[-1]
        self.best_loss_ = None if self.early_stopping else min(curve)
        scores = state.validation_scores if self.early_stopping else None
        self.validation_scores_ = scores
        self.best_validation_score_ = max(scores) if scores else None
        self.relaxation_ = state.relaxation

    def _usable_parameters(self) -> dict[str, Any]:
        """The parameters, validated anew if set_params has changed any since training.

        scikit-learn validates them in fit and in the first call of partial_fit only.
        """
        checked, given = getattr(self, "_checked_parameters", {}), self._given_parameters()
        if any(value is not checked.get(name, self) for name, value in given.items()):
            self._validate_params()
        return self._parameters()

    def _with_weights_of(
        self, network: Network, layout: Layout, input_scales: np.ndarray | None
    ) -> Self:
        """A copy of the estimator, as fitted as a network in training is.

        `input_scales` is what the network sees the columns of X divided by.
        """
        arrays = FittedArrays.copied_from(network, layout)
        arrays.divide_inputs_by(input_scales)
        fitted = type(self).__new__(type(self))
        fitted.__dict__.update(vars(self))
        fitted._set_arrays(arrays)
        return fitted

    def _set_arrays(self, arrays: FittedArrays) -> None:
        self._layout = arrays.layout
        self.connections_ = arrays.layout.wiring.pairs
        self.coefs_ = arrays.coefs
        self.intercepts_ = arrays.intercepts
        self._feedback_coefs = arrays.feedback_coefs
        self.n_layers_ = len(arrays.intercepts) + 1

    def __getstate__(self) -> dict[str, Any]:
        """What goes into a model file."""
        stored = super().__getstate__()
        return packed_estimator(stored)

    def __setstate__(self, stored: dict[str, Any]) -> None:
        """Restore what `__getstate__` gave."""
        attributes = unpacked_estimator(stored)
        super().__setstate__(attributes)

    @property
    def feedback_coefs_(self) -> list[np.ndarray] | tuple[np.ndarray, ...]:
        """Feedback weights, one array (n_source, n_target) a feedback connection.

        Beside a convolution, kernels of its shape, which feedback goes through in reverse.

        Assign other arrays to replace them. With ``feedback='tied'`` they are the transposes of
        their partners in ``coefs_`` (kernels as they are), follow those and cannot be assigned.
        """
        if not hasattr(self, "coefs_"):
            msg = f"{type(self).__name__!r} object has no attribute 'feedback_coefs_'"
            raise AttributeError(msg)
        if self._feedback_coefs is None:
            partners = self._layout.wiring.partners
            of_partners = [self.coefs_[partner] for partner in partners if partner is not None]
            return tuple(coef.T if coef.ndim == 2 else coef for coef in of_partners)
        return self._feedback_coefs

    @feedback_coefs_.setter
    def feedback_coefs_(self, value: list[np.ndarray]) -> None:
        if hasattr(self, "coefs_") and self._feedback_coefs is None:
            msg = "feedback_coefs_ is tied to coefs_ (feedback='tied'): assign coefs_ instead."
            raise AttributeError(msg)
        if value is None:
            msg = "feedback_coefs_=None: assign arrays, one a feedback connection."
            raise ValueError(msg)
        self._feedback_coefs = value

    def _arrays(self) -> FittedArrays:
        return checked_arrays(self._layout, self.coefs_, self.intercepts_, self._feedback_coefs)

    def _prediction_backend(self) -> ArrayBackend:
        """What a fitted model settles on: the backend asked for, or NumPy's where that is not here.

        So a model that was fitted on a device predicts on machines that have none.
        """
        return NumpyBackend() if self.backend == "numpy" else available_backend()

    def _network(self, arrays: FittedArrays, backend: ArrayBackend) -> Network:
        """The network of these arrays: with them themselves on the host, with copies elsewhere."""

        def placed(blocks: list[np.ndarray]) -> list[Array]:
            return [backend.from_host(block, block.dtype) for block in blocks]

        feedback = arrays.feedback_coefs
        return wired_network(
            arrays.layout.wiring,
            placed(arrays.coefs),
            placed(arrays.intercepts),
            None if feedback is None else placed(feedback),
            activation=self.activation,
            backend=backend,
            layout=arrays.layout,
        )
