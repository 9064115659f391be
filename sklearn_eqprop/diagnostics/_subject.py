"""What is looked into: an estimator's network in float64 on the host, with data clamped to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._estimators.base import BaseEqProp
from sklearn_eqprop._estimators.data.array_home import on_host
from sklearn_eqprop._estimators.data.inputs import validated_inputs, validated_pair
from sklearn_eqprop._estimators.fitted.settled_rows import chunks, refuse_broken_weights
from sklearn_eqprop._estimators.fitting.assembly import (
    lead_of_loops,
    training_limits,
    what_synapses_measure,
)
from sklearn_eqprop._estimators.targets.targets import without_nullable_type
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import (
    RELAXATIONS,
    RUNAWAY,
    Origin,
    Relaxation,
    Result,
    origin_of,
)
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop._warnings import warn_at_call
from sklearn_eqprop.exceptions import DivergenceError

#: Residual at which a sample counts as settled here; in the linear systems, relative to the force.
TOLERANCE = 1e-12
#: Most sweeps or steps of any phase here.
MAX_STEPS = 2000
LIMITS = SettlingLimits(TOLERANCE, TOLERANCE, MAX_STEPS, MAX_STEPS, literal=False)


@dataclass(frozen=True)
class Subject:
    """A network in float64 and the data it is looked at with.

    It settles by the method the estimator settles by, so to the same equilibrium where there are
    several, only further.

    Attributes
    ----------
    estimator : BaseEqProp
    network : Network
    X : ndarray of shape (n_samples, n_features), float64, or CSR matrix
        See `inputs`.
    target : ndarray of shape (n_samples, n_outputs) or None
        What the output is nudged towards, float64.
    loss : Loss
    shares : ndarray of shape (n_samples, 1)
        Share of each sample in the objective J, with its class weight; they sum to 1.
    """

    estimator: BaseEqProp
    network: Network
    X: Any
    target: np.ndarray | None
    loss: Loss
    shares: np.ndarray

    @property
    def parameters(self) -> dict[str, Any]:
        """The estimator's parameters, NumPy's numbers as Python's."""
        return self.estimator._parameters()

    @property
    def relaxation(self) -> Relaxation:
        """The estimator's way of settling."""
        return RELAXATIONS[self.estimator.relaxation](self.parameters["step_size"])

    def substrate(self) -> SimulatedNetwork:
        """The network, settling as far as rounding allows; every synapse measures, in states."""
        lead = lead_of_loops(self.parameters)
        return SimulatedNetwork(self.network, self.relaxation, LIMITS, lead=lead)

    def own_substrate(self, **changed: Any) -> SimulatedNetwork:
        """The network as it is when the estimator is trained: how far it settles, what it sees.

        Or would be with some of its parameters changed.
        """
        parameters = self.parameters | changed
        measured = what_synapses_measure(parameters, self.network)
        limits, lead = training_limits(parameters), lead_of_loops(parameters)
        return SimulatedNetwork(self.network, self.relaxation, limits, lead=lead, **measured)

    def chunks(self) -> Iterator[slice]:
        """Rows to look at together, so that memory stays bounded."""
        return chunks(self.X.shape[0], self.X.shape[1], self.network)

    def on_device(self, array: Any, rows: slice) -> Array:
        """Some rows of a host array where the network lives."""
        return self.network.backend.from_host(array[rows], self.network.dtype)

    def inputs(self, rows: slice) -> Array:
        """Some rows of X, as if it were dense; only so many rows at a time become so."""
        part = self.X[rows]
        return self.on_device(part.toarray() if sparse.issparse(part) else part, slice(None))

    def settle(self, rows: slice) -> FreePhase:
        """Free equilibrium of some rows.

        Raises
        ------
        DivergenceError
            If a state is not finite.
        """
        free = self.free_phase(rows)
        self.check_finite(free.result, "free phase")
        return free

    def free_phase(self, rows: slice) -> FreePhase:
        """Where the free phase of some rows ends, whether they settle or run away."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.substrate().settle(self.inputs(rows))

    def origin(self, free: FreePhase) -> Origin:
        """A free equilibrium as the linear systems around it need it."""
        assert free.result.drives is not None  # the free field keeps them
        return origin_of(
            self.network, free.result.states, free.result.drives, literal=False, with_slopes=True
        )

    def force(self, free: FreePhase, rows: slice) -> Array:
        """-C_s, what pulls the output of each sample to its target at β = 1."""
        return self.loss.force(
            self.network.backend.xp, free.result.states[-1], self.on_device(self.target, rows)
        )

    def check_finite(self, result: Result, what: str) -> None:
        """Refuse to go on with numbers that are not finite.

        Raises
        ------
        DivergenceError
        """
        if not bool(self.network.backend.xp.isfinite(result.residual).all()):
            msg = (
                f"The {what} does not stay finite in float64: the weights or the inputs are too "
                "large for these dynamics. Scale the inputs, or fit with a loop_gain."
            )
            raise DivergenceError(msg)


def ran_away(result: Result) -> Array:
    """Which samples did not settle and are not merely slow: their states say nothing."""
    return ~(result.converged | (result.residual <= RUNAWAY))  # True for NaN


def check_is_ours(caller: str, estimator: Any) -> None:
    """Refuse what is no fitted estimator of this package.

    Parameters
    ----------
    caller : str
        Name of what looks into it, for messages.
    estimator : object

    Raises
    ------
    TypeError
        If it is none of this package's.
    NotFittedError
        If it is not fitted.
    """
    if not isinstance(estimator, BaseEqProp):
        given = estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__
        msg = (
            f"{caller} looks into a fitted EqPropClassifier or EqPropRegressor; estimator is "
            f"{given}. Of a pipeline pass the last step, and X as that step sees it: "
            "pipeline[-1], pipeline[:-1].transform(X)."
        )
        raise TypeError(msg)
    check_is_fitted(estimator)


def subject_of(caller: str, estimator: Any, X: Any, y: Any = None, *, needs_y: bool) -> Subject:
    """Check what a diagnostic was given and bring it to float64.

    Parameters
    ----------
    caller : str
        Name of the diagnostic, for messages.
    estimator : EqPropClassifier or EqPropRegressor
        Fitted.
    X : array-like or sparse matrix of shape (n_samples, n_features)
    y : array-like or None
    needs_y : bool
        Whether the diagnostic can do without targets.

    Returns
    -------
    Subject

    Raises
    ------
    TypeError
        If `estimator` is not one of this package's.
    NotFittedError
        If it is not fitted.
    ValueError
        If y is missing, X or y do not fit the estimator, or the estimator is one whose network
        need not settle.
    DivergenceError
        If a weight is not finite.
    """
    check_is_ours(caller, estimator)
    if estimator.objective == "trajectory":
        msg = (
            f"{caller} looks at a network at rest, which objective='trajectory' does not ask for. "
            "To see the network as if it settled, set_params(objective='fixed_point') on a copy."
        )
        raise ValueError(msg)
    if needs_y and y is None:
        msg = f"{caller} needs y, got y=None: pass the targets that belong to X."
        raise ValueError(msg)
    X, y, backend = on_host(X), on_host(y), NumpyBackend()  # diagnostics compute there
    if y is None:
        X, _ = validated_inputs(estimator, X, backend)
        target, weight = None, None
    else:
        X, y, _ = validated_pair(estimator, X, without_nullable_type(y), backend)
        y = estimator._take_in_targets(y, reset=False)
        target = estimator._encode(y, np.float64)
        weight = estimator._effective_weight(y, None)

    network = estimator._network(estimator._arrays().copy(np.float64), backend)
    refuse_broken_weights(network)
    return Subject(
        estimator,
        network,
        X if sparse.issparse(X) else np.asarray(X, dtype=np.float64),
        target,
        estimator._loss(),
        _shares(weight, X.shape[0]),
    )


def _shares(weight: np.ndarray | None, n_samples: int) -> np.ndarray:
    if weight is None:
        return np.full((n_samples, 1), 1 / n_samples)
    total = float(weight.sum())
    if total <= 0:
        msg = "class_weight gives every sample a weight of 0: no sample of these classes counts."
        raise ValueError(msg)
    return (weight / total)[:, None]


def warn_about_unsettled(caller: str, n_unsettled: int, n_samples: int) -> None:
    """Say that a diagnostic rests on states that are no equilibria."""
    if n_unsettled:
        warn_at_call(
            f"{caller}: {n_unsettled} of {n_samples} samples did not settle within {MAX_STEPS} "
            "steps, and what is reported of them is not about an equilibrium. Use "
            "relaxation='gauss_seidel' or another step_size, or fit with a lower loop_gain; "
            "good_parameter and health_report say more.",
        )
