"""Good parameters: the free dynamics converge, and ν leads downhill."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation import FreeField, Result
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._directions import cosine, inner, learning_directions
from sklearn_eqprop.diagnostics._readable import Readable, number
from sklearn_eqprop.diagnostics._subject import MAX_STEPS, Subject, ran_away, subject_of
from sklearn_eqprop.exceptions import DivergenceError

#: Residual at which a start counts as settled, in units of the largest state (at least 1).
SETTLED = 1e-9
#: Two equilibria are the same if no unit differs by more than this, in the same units.
SAME = 1e-6


@dataclass(frozen=True, repr=False, eq=False)
class GoodParameter(Readable):
    """What `good_parameter` found.

    Attributes
    ----------
    is_good : bool
        Whether every start settled and dJ/dθ · ν < 0.
    converged : float
        Fraction of the starts, over all samples, that settled.
    same_equilibrium : float
        Fraction of those that settled at the equilibrium reached from rest; NaN if none settled.
    largest_distance : float
        Largest difference of a unit's state between a settled start and the equilibrium from rest,
        in units of the largest state (at least 1). Infinite where the start settled, but the
        states run away from rest.
    slope : float
        dJ/dθ · ν. NaN where error signals do not settle at the states reached from rest, or these
        run away.
    cosine : float
        Of ν with -dJ/dθ; NaN as `slope`.
    n_steps : ndarray of int, shape (n_starts, n_samples)
        Sweeps or steps each start took.
    settled : ndarray of bool, shape (n_starts, n_samples)
        Which of them settled.
    """

    is_good: bool
    converged: float
    same_equilibrium: float
    largest_distance: float
    slope: float
    cosine: float
    n_steps: np.ndarray
    settled: np.ndarray

    def __str__(self) -> str:
        """See `Readable`."""
        n_starts, n_samples = self.settled.shape
        verdict = "A good parameter" if self.is_good else "Not a good parameter"
        return (
            f"{verdict}\n"
            f"{self.converged:.1%} of {n_starts} starts for each of {n_samples} samples settled, "
            f"{number(self.same_equilibrium, '.1%')} of these at the equilibrium reached from rest "
            f"(largest distance {number(self.largest_distance, '.2g')})\n"
            f"dJ/dθ · ν = {number(self.slope, '.3g')}, "
            f"cosine of ν with -dJ/dθ {number(self.cosine)}"
        )


def good_parameter(
    estimator: Any, X: Any, y: Any, *, n_starts: int = 10, random_state: Any = 0
) -> GoodParameter:
    """Whether θ is a "good parameter" in the sense of Scellier et al. 2018, section 3.

    It is where the free dynamics converge and dJ/dθ · ν(θ) < 0, so that a small step along ν
    lowers the objective. The free dynamics are started from random states as well as from rest:
    uniform over the range of bounded units, over twice the largest state elsewhere. Where states
    run away that is the finding: θ is not good.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Sparse X is made dense, some rows at a time, and gives what dense X gives.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    n_starts : int, default=10
        Random starts for each sample, >= 1.
    random_state : int, RandomState instance or None, default=0
        Draws the starts.

    Returns
    -------
    GoodParameter

    Raises
    ------
    TypeError, NotFittedError, ValueError
        As `gradient_alignment`; ValueError also if `n_starts` is not a positive integer.
    DivergenceError
        If a weight is not finite.
    """
    subject = subject_of("good_parameter", estimator, X, y, needs_y=True)
    if not isinstance(n_starts, Integral) or isinstance(n_starts, bool) or n_starts < 1:
        msg = f"n_starts must be a positive integer. Got {n_starts!r}."
        raise InvalidParameterError(msg)
    rng = check_random_state(random_state)
    parts = [_settle_from_many(subject, rows, int(n_starts), rng) for rows in subject.chunks()]
    n_steps, settled, distance, away = (
        np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)
    )
    slope, angle = (np.nan, np.nan) if away.any() else _descent(subject)
    n_settled = int(settled.sum())
    return GoodParameter(
        is_good=bool(settled.all() and slope < 0),
        converged=float(settled.mean()),
        same_equilibrium=float((distance[settled] <= SAME).mean()) if n_settled else np.nan,
        largest_distance=float(distance[settled].max()) if n_settled else np.nan,
        slope=slope,
        cosine=angle,
        n_steps=n_steps,
        settled=settled,
    )


def _descent(subject: Subject) -> tuple[float, float]:
    """dJ/dθ · ν and the cosine of ν with -dJ/dθ; NaN where error signals do not settle."""
    try:
        directions = learning_directions(subject)
    except DivergenceError:
        return np.nan, np.nan
    nu, descent = directions.nu, directions.descent
    return -inner(nu, descent), cosine(nu, descent)


def _settle_from_many(
    subject: Subject, rows: slice, n_starts: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, settled or not, and distance from the equilibrium from rest, for every start.

    And, as one row more, which samples run away from rest.
    """
    free = subject.free_phase(rows)
    xp, to_host = subject.network.backend.xp, subject.network.backend.to_host
    away = ran_away(free.result)
    reach = max(float(xp.abs(state[~away]).max(initial=1.0)) for state in free.result.states)
    lines = []
    for _ in range(n_starts):
        result = _settle_from_random(subject, free, reach, rng)
        distance = _largest_difference(subject, result.states, free.result.states)
        distance = xp.where(away, xp.inf, distance)
        lines.append((to_host(result.n_steps), to_host(result.converged), to_host(distance)))
    n_steps, settled, distances = (np.stack(arrays) for arrays in zip(*lines, strict=True))
    return n_steps, settled, distances / reach, to_host(away)[None]


def _settle_from_random(
    subject: Subject, free: FreePhase, reach: float, rng: np.random.RandomState
) -> Result:
    network = subject.network
    n_samples = free.result.converged.shape[0]
    starts = []
    for activation, size in zip(network.activations, network.layer_sizes, strict=True):
        lower = -2 * reach if activation.lower is None else activation.lower
        upper = 2 * reach if activation.upper is None else activation.upper
        draw = rng.uniform(lower, upper, size=(n_samples, size))
        starts.append(network.backend.from_host(draw, network.dtype))
    field = FreeField(network, network.clamp(free.inputs), n_samples)
    tolerance = network.backend.xp.full(n_samples, SETTLED * reach)
    with np.errstate(over="ignore", invalid="ignore"):
        return subject.relaxation.settle(field, starts, tolerance, MAX_STEPS)


def _largest_difference(subject: Subject, states: list[Array], others: list[Array]) -> Array:
    backend = subject.network.backend
    largest = None
    with np.errstate(over="ignore", invalid="ignore"):
        for state, other in zip(states, others, strict=True):
            in_layer = backend.row_max_abs(state - other)
            largest = in_layer if largest is None else backend.xp.maximum(largest, in_layer)
    return largest
