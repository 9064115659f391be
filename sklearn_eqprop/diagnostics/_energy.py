"""The energy of a network with tied feedback, at its equilibria and along a relaxation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop._estimators.parameters.checks import check_beta
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import FreeField
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.phases import Nudge, network_at
from sklearn_eqprop.diagnostics._results import Readable
from sklearn_eqprop.diagnostics._subject import TOLERANCE, Subject, check_count, subject_of

#: Strengths of different ways between two layers may differ by this, because of rounding.
SAME_STRENGTH = 1e-3


@dataclass(frozen=True, repr=False, eq=False)
class Energy(Readable):
    """Result of `energy`.

    Attributes
    ----------
    values : ndarray of shape (n_samples,)
        E at the equilibrium of each sample.
    total : ndarray of shape (n_samples,)
        E + c_L β C at the equilibrium. Equal to `values` if β is 0.
    curve : ndarray of shape (n_steps + 1, n_samples)
        E + c_L β C at the start and after each sweep or step. The free phase starts from zero
        states, the nudged phase from the free equilibrium.
    scales : ndarray of shape (L,)
        c_l of layers 1 to L.
    beta : float
    n_samples, n_unsettled : int
        Number of samples, and of those that did not settle.
    """

    values: np.ndarray
    total: np.ndarray
    curve: np.ndarray
    scales: np.ndarray
    beta: float
    n_samples: int
    n_unsettled: int

    def __str__(self) -> str:
        """Return the mean energies and their range in three lines."""
        start, end = self.curve[[0, -1]].mean(axis=1)
        return (
            f"Energy of {self.n_samples} samples ({self.n_unsettled} unsettled) at beta = "
            f"{self.beta:g}\nmean {self.values.mean():.6g}, from {self.values.min():.6g} to "
            f"{self.values.max():.6g}; with the nudge {self.total.mean():.6g}\n"
            f"{len(self.curve) - 1} steps change the mean from {start:.6g} to {end:.6g}"
        )


@ignoring_float_errors
def energy(
    estimator: Any, X: Any, y: Any = None, beta: float = 0.0, *, n_steps: int | None = None
) -> Energy:
    """Energy of each sample at its equilibrium, and how a relaxation lowers it.

    Networks with ``feedback='tied'`` have an energy. With feedback B_l = γ_l F_{l+1}^T, c_1 = 1 and
    c_{l+1} = γ_l c_l it is

        E(s) = Σ_l c_l (Σ_i ∫ s dρ(s) - b_l · ρ(s_l) - ρ(s_{l-1}) F_l ρ(s_l)),

    with the input in place of ρ(s_0). The integral runs from 0 to the state of unit i. It is ½ s²
    for ReLU, hard sigmoid and linear units. With γ_l = 1 this is the energy of Scellier & Bengio
    (2017) for these units. The nudged phase lowers E + c_L β C, where C is the loss. Each
    Gauss-Seidel sweep lowers it; so do short Euler steps.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Sparse X is made dense a few rows at a time, and gives the same result as dense X.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Targets. Needed if `beta` is not 0.
    beta : float, default=0.0
        0: the free phase, from zero states. Any other finite number: the nudged phase, from the
        free equilibrium.
    n_steps : int or None, default=None
        Sweeps or steps of `Energy.curve`, >= 1. None: as many as the slowest sample needs.

    Returns
    -------
    Energy
        If several equilibria exist, `values` belong to the one that `predict` reaches. The curve
        can then end at another one: `predict` moves the output further after its first sweep.

    Raises
    ------
    TypeError, NotFittedError
        As `gradient_alignment`.
    ValueError
        As `gradient_alignment`. Also if the network has no energy; if `beta` is not finite, if it
        needs y, or if it is negative and the nudged phase could be unstable; or if `n_steps` is not
        an integer >= 1.
    DivergenceError
        If a state or a weight is not finite.
    """
    subject = subject_of("energy", estimator, X, y, needs_y=beta != 0)
    if n_steps is not None:
        check_count("n_steps", n_steps, least=1)
    if beta != 0:
        if not isinstance(beta, Real) or not math.isfinite(beta):
            msg = f"beta must be a finite number. Got {beta!r}."
            raise InvalidParameterError(msg)
        check_beta(subject.config, subject.loss, beta, pushes_away=beta < 0, held=False)
    scales = _scales(subject.network)
    phases = [_Phase(subject, rows, beta, scales) for rows in subject.chunks()]
    n_unsettled = int(sum((~phase.result.converged).sum() for phase in phases))
    subject.warn_about_unsettled("energy", n_unsettled)
    n_steps = n_steps or max(int(phase.result.n_steps.max()) for phase in phases)
    at_rest = [phase.energies(phase.result.states) for phase in phases]
    values, total = (np.concatenate(parts) for parts in zip(*at_rest, strict=True))
    curve = np.concatenate([phase.curve(n_steps) for phase in phases], axis=1)
    n_samples = subject.n_samples
    return Energy(values, total, curve, np.array(scales), float(beta), n_samples, n_unsettled)


class _Phase:
    """The free or nudged phase of some rows, and its energy."""

    def __init__(self, subject: Subject, rows: slice, beta: float, scales: list[float]) -> None:
        free = subject.settle(rows)
        self._subject, self._beta, self._scales = subject, beta, scales
        self._clamped, driven = subject.network.clamp_and_hold(free.inputs)
        n_samples = len(free.inputs)
        if beta == 0:
            self._name, self.result = "free phase", free.result
            self._field = FreeField(driven, self._clamped, n_samples)
            self._start = self._field.zero_states()
            return
        self._name, self._start = "nudged phase", free.result.states
        self._target = subject.target[rows]
        push = Nudge(subject.loss, self._target, float(beta), 0.0, np)
        self._field = FreeField(network_at(free), self._clamped, n_samples, push)
        largest = np.max([np.abs(state).max(axis=1) for state in self._start], axis=0)
        tolerance = TOLERANCE * np.maximum(largest, 1)
        self.result = subject.settle_field(self._field, self._start, tolerance, downward=True)
        subject.check_finite(self.result, self._name)

    def curve(self, n_steps: int) -> np.ndarray:
        """E + c_L β C at the start and after each step, shape (n_steps + 1, n_samples)."""
        found: list[np.ndarray] = []
        end = self._subject.watch_steps(
            self._field,
            self._start,
            n_steps,
            lambda states: found.append(self.energies(states)[1]),
            downward=self._beta != 0,
        )
        self._subject.check_finite(end, self._name)
        # Some methods show the start, too.
        return np.array([self.energies(self._start)[1], *found[-n_steps:]])

    def energies(self, states: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """E, and E + c_L β C, of each sample."""
        network, total = self._field.network, np.zeros(len(states[-1]))
        rates = network.rates(states)
        for layer, c in enumerate(self._scales, start=1):
            rate, activation = rates[layer - 1], network.activations[layer - 1]
            potential = activation.potential(np, states[layer - 1])
            total += c * (potential - self._clamped[layer - 1] * rate).sum(axis=1)
        for connection in network.forward:
            if connection.source > 0:
                target = connection.target
                driven = connection.apply(rates[connection.source - 1])
                total -= self._scales[target - 1] * (driven * rates[target - 1]).sum(axis=1)
        if self._beta == 0:
            return total, total
        loss = self._subject.loss.value(np, states[-1], self._target)
        return total, total + self._scales[-1] * self._beta * loss


def _scales(network: Network) -> list[float]:
    """c_l of each layer; raises ValueError if the network has no energy.

    Layers that drive each other need γ = c_source / c_target, the source being that of the
    feedback. Each layer without a known c_l, from the input on, starts at 1.
    """
    strengths = {}
    for feedback in network.feedback:
        if not network.tied:
            _refuse("its feedback has weights of its own. Fit with feedback='tied'")
        strengths[feedback.source, feedback.target] = feedback.gain
        if not feedback.gain > 0:
            _refuse(f"feedback_gains_ holds {feedback.gain:g}. Only positive strengths have one")
    for forward in network.forward:
        pair = forward.source, forward.target
        if forward.source > 0 and pair[::-1] not in strengths:
            _refuse(f"connection {pair} has no feedback. Add {pair[::-1]} to `connections`")
    for activation in network.activations:
        if activation.potential(np, np.zeros(1)) is None:
            _refuse(f"activation={activation.name!r} states no `potential`. Add that method")
    scales: dict[int, float] = {}
    for layer in range(1, network.n_layers + 1):
        waiting = [] if layer in scales else [(layer, 1.0)]
        while waiting:
            found, c = waiting.pop()
            if not math.isclose(scales.setdefault(found, c), c, rel_tol=SAME_STRENGTH):
                _refuse("the strengths in feedback_gains_ along two ways between layers differ")
            for (source, target), strength in strengths.items():
                if found == target and source not in scales:
                    waiting.append((source, c * strength))
                if found == source and target not in scales:
                    waiting.append((target, c / strength))
    return [scales[layer] for layer in range(1, network.n_layers + 1)]


def _refuse(reason: str) -> None:
    msg = f"The network has no energy: {reason}."
    raise ValueError(msg)
