"""Where the fitted network comes to rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import ArrayBackend, NumpyBackend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.data.array_home import Home
from sklearn_eqprop._estimators.data.device_memory import (
    SMALLER_NETWORK,
    explains_full_device,
)
from sklearn_eqprop._estimators.data.inputs import validated_inputs, validated_pair
from sklearn_eqprop._estimators.fitted.early_decision import may_decide_early
from sklearn_eqprop._estimators.fitted.settled_rows import CHUNK_ROWS, settle_rows
from sklearn_eqprop._estimators.fitted_attributes import FittedAttributes
from sklearn_eqprop._estimators.fitting.assembly import prediction_substrate
from sklearn_eqprop._estimators.parameters.parameters import chosen_layers, pools_with_winners
from sklearn_eqprop._estimators.parameters.refused_pairs import (
    check_beta,
    check_clamped_loss,
    check_objective_of_clamp,
)
from sklearn_eqprop._network import FEWEST_ROWS, IsDecided, Network, enough_to_decide
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.averaging import AveragingNetwork
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._warnings import warn_at_call


@dataclass(frozen=True)
class Settled:
    """Where rows came to rest, and the way back to where they came from.

    Attributes
    ----------
    result : Result
        Its states, of all layers or the output's alone, are arrays of `backend`, everything else
        NumPy's.
    backend : ArrayBackend
    home : Home
    """

    result: Result
    backend: ArrayBackend
    home: Home

    @property
    def output(self) -> Array:
        """State of the output layer."""
        return self.result.states[-1]

    @property
    def result_at_home(self) -> Result:
        """The result with its states where the rows came from."""
        return replace(self.result, states=[self.home.give_back(s) for s in self.result.states])


class Settling(FittedAttributes):
    """Equilibria of a fitted estimator."""

    def _substrate(self, network: Network) -> SimulatedNetwork | AveragingNetwork:
        return prediction_substrate(self._usable_parameters(), network)

    def _settled(self, X: Any, *, outputs_only: bool = True) -> Settled:
        """Equilibrium of every row of X; warns where one is not reached."""
        check_is_fitted(self)
        backend = self._prediction_backend()
        X, home = validated_inputs(self, X, backend)
        return self._settled_rows(X, backend, home, outputs_only=outputs_only)

    def _settled_rows(
        self,
        X: Any,
        backend: ArrayBackend,
        home: Home,
        is_decided: IsDecided | None = None,
        **options: Any,
    ) -> Settled:
        """As `_settled`, of rows that have been validated; some need only be decided."""
        at_once = f"settling {min(X.shape[0], CHUNK_ROWS)} rows at once"
        remedy = f"Pass fewer rows than that, {SMALLER_NETWORK}"
        with backend.explaining_full_memory(at_once, remedy):
            result = self._equilibria(X, backend, is_decided, options)
        if not result.converged.all():
            reason = result.reason
            if pools_with_winners(self._parameters()):
                reason += (
                    " Winners of max pooling may be going round in a circle, which no limit of "
                    "steps ends: pooling='average' has none."
                )
            warn_at_call(reason)
        return Settled(result, backend if home.on_device else NumpyBackend(), home)

    def _equilibria(
        self, X: Any, backend: ArrayBackend, is_decided: IsDecided | None, options: dict[str, Any]
    ) -> Result:
        """What `settle_rows` makes of the rows, with the network as it is fitted."""
        parameters = self._usable_parameters()
        network = self._network(self._arrays(), backend)
        enough = None if is_decided is None else enough_to_decide(network, is_decided)
        substrate = prediction_substrate(parameters, network, enough)
        return settle_rows(substrate, X, **options)

    def _settled_to_decide(self, X: Any, is_decided: IsDecided) -> Settled:
        """Every row, settled no further than its decision needs."""
        check_is_fitted(self)
        backend = self._prediction_backend()
        X, home = validated_inputs(self, X, backend)
        many = X.shape[0] >= FEWEST_ROWS and not backend.is_device
        if many and may_decide_early(self._usable_parameters()):
            return self._settled_rows(X, backend, home, is_decided, outputs_only=True)
        return self._settled_rows(X, backend, home, outputs_only=True)

    @explains_full_device
    def relax(self, X: Any, y: Any = None, beta: float = 0.0) -> Result:
        """Let the network settle and return where it came to rest.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Inputs, clamped.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets the output is nudged towards; needed where `beta` is not 0.
        beta : float, default=0.0
            Influence parameter. 0 gives the free fixed point (Eq. 10, Scellier et al. 2018); any
            other value goes on from there to the nudged one (Eq. 16), infinity to that with
            the output held at the target.

        Returns
        -------
        Result
            With ``states`` (list of L arrays (n_samples, n_l), layers 1 to L), ``n_steps``,
            ``residual``, ``converged`` (arrays of shape (n_samples,)) and ``reason`` (str). With
            ``objective='trajectory'`` the states are averages over the last ``n_averaged`` of
            ``n_steps`` steps, ``residual`` is what still moves at the end of them, and
            ``converged`` is False only where that runs away. A nudged run starts where the free one
            has been after `max_relax_iter` steps.

        Raises
        ------
        ValueError
            If `beta` is not 0 and `y` is missing or does not fit, `beta` is so negative that the
            nudged phase would be unstable, or infinite and the loss not the squared error
            or the objective 'trajectory'.
        DivergenceError
            If a state is not finite.
        """
        check_is_fitted(self)
        if not isinstance(beta, Real) or isinstance(beta, (bool, np.bool_)):
            msg = f"beta must be a real number, 0 for the free phase. Got {beta!r}."
            raise InvalidParameterError(msg)
        if beta == 0:
            return self._settled(X, outputs_only=False).result_at_home
        if y is None:
            msg = f"beta={beta!r} needs y: the targets the output is nudged towards."
            raise ValueError(msg)
        if beta == math.inf:
            check_objective_of_clamp(self.objective, math.inf)
            check_clamped_loss(self.loss)
        loss = self._loss()
        check_beta(beta, "one_sided", self.loss, loss, held=False)
        backend = self._prediction_backend()
        X, y, home = validated_pair(self, X, self._plain_targets(y), backend)
        y = self._take_in_targets(y, reset=False)
        target = self._encode(y, self._arrays().coefs[0].dtype)
        nudge = {"loss": loss, "target": target, "beta": float(beta)}
        return self._settled_rows(X, backend, home, **nudge).result_at_home

    @explains_full_device
    def transform(self, X: Any) -> np.ndarray:
        """Equilibrium states of the hidden layers (averages, see `objective`), input side first.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            States s_1 .. s_{L-1} of the free phase, or those of `transform_layers`, side by side;
            maps, pooled, are flattened: by height, then width, then map.

        Raises
        ------
        ValueError
            If there is no hidden layer, or `transform_layers` names one that is not there.
        """
        settled = self._settled(X, outputs_only=False)
        states = settled.result.states
        layers = chosen_layers(self.transform_layers, len(states))
        if not layers:
            msg = (
                "transform needs a hidden layer, but hidden_layer_sizes is empty; "
                "transform_layers=1 would give the output."
            )
            raise ValueError(msg)
        chosen = [states[layer - 1] for layer in layers]
        return settled.home.give_back(settled.backend.xp.concatenate(chosen, axis=1))

    @property
    def _n_features_out(self) -> int:
        """Columns of `transform`, for get_feature_names_out."""
        sizes = self._arrays().layout.sizes
        layers = chosen_layers(self.transform_layers, len(sizes) - 1)
        return sum(sizes[layer] for layer in layers)
