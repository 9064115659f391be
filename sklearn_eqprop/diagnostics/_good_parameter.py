"""Good parameters: the free dynamics converge, and a step along ν lowers the objective."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop._relaxation import FreeField, Result
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._directions import cosine, inner, learning_directions
from sklearn_eqprop.diagnostics._results import Readable, number
from sklearn_eqprop.diagnostics._subject import Subject, check_count, diverged, subject_of
from sklearn_eqprop.exceptions import DivergenceError

#: A start counts as settled at this residual, in units of the largest state (at least 1).
SETTLED = 1e-9
#: Two equilibria are the same if no unit differs by more than this, in the same units.
SAME = 1e-6


@dataclass(frozen=True, repr=False, eq=False)
class GoodParameter(Readable):
    """Result of `good_parameter`.

    Attributes
    ----------
    is_good : bool
        Whether every start settled and dJ/dθ · ν < 0.
    converged : float
        Fraction of the starts, over all samples, that settled.
    same_equilibrium : float
        Fraction of the settled starts that reached the same equilibrium as a start from zero
        states. NaN if none settled.
    largest_distance : float
        Largest difference of a unit's state between a settled start and the equilibrium from zero
        states, in units of the largest state (at least 1). Infinite if the start settled, but the
        states diverge from zero states.
    slope : float
        dJ/dθ · ν. NaN if states diverge from zero states, or if error signals do not settle.
    cosine : float
        Cosine of ν with -dJ/dθ. NaN if `slope` is NaN.
    n_steps : ndarray of int, shape (n_starts, n_samples)
        Sweeps or steps of each start.
    settled : ndarray of bool, shape (n_starts, n_samples)
        Whether each start settled.
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
        """Return the verdict and the numbers in three lines."""
        n_starts, n_samples = self.settled.shape
        verdict = "A good parameter" if self.is_good else "Not a good parameter"
        return (
            f"{verdict}\n"
            f"{self.converged:.1%} of {n_starts} starts for each of {n_samples} samples settled, "
            f"{number(self.same_equilibrium, '.1%')} of these at the equilibrium from zero states "
            f"(largest distance {number(self.largest_distance, '.2g')})\n"
            f"dJ/dθ · ν = {number(self.slope, '.3g')}, "
            f"cosine of ν with -dJ/dθ {number(self.cosine)}"
        )


@ignoring_float_errors
def good_parameter(
    estimator: Any, X: Any, y: Any, *, n_starts: int = 10, random_state: Any = 0
) -> GoodParameter:
    """Whether θ is a "good parameter" in the sense of Scellier et al. 2018, section 3.

    θ is good if the free dynamics converge and dJ/dθ · ν(θ) < 0, so that a small step along ν
    lowers the objective. The free dynamics start from zero states and from random states. Random
    states are uniform over the range of bounded units, and over twice the largest state for other
    units. If states diverge, θ is not good, and no error is raised.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Sparse X is made dense a few rows at a time, and gives the same result as dense X.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
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
        As `gradient_alignment`. ValueError also if `n_starts` is not an integer >= 1.
    DivergenceError
        If a weight is not finite.
    """
    subject = subject_of("good_parameter", estimator, X, y, needs_y=True)
    check_count("n_starts", n_starts, least=1)
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
    """dJ/dθ · ν and the cosine of ν with -dJ/dθ. NaN if error signals do not settle."""
    try:
        directions = learning_directions(subject)
    except DivergenceError:
        return np.nan, np.nan
    nu, descent = directions.nu, directions.descent
    return -inner(nu, descent), cosine(nu, descent)


def _settle_from_many(
    subject: Subject, rows: slice, n_starts: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Settle some rows from random states.

    Returns
    -------
    n_steps, settled, distance : ndarrays of shape (n_starts, n_rows)
        The distance is measured from the equilibrium that zero states lead to.
    away : ndarray of shape (1, n_rows)
        Samples that diverge from zero states.
    """
    free = subject.free_phase(rows)
    away = diverged(free.result)
    reach = max(float(np.abs(state[~away]).max(initial=1.0)) for state in free.result.states)
    n_steps, settled, distances = [], [], []
    for _ in range(n_starts):
        result = _settle_from_random(subject, free, reach, rng)
        distance = _largest_difference(result.states, free.result.states)
        n_steps.append(result.n_steps)
        settled.append(result.converged)
        distances.append(np.where(away, np.inf, distance) / reach)
    return np.stack(n_steps), np.stack(settled), np.stack(distances), away[None]


def _settle_from_random(
    subject: Subject, free: FreePhase, reach: float, rng: np.random.RandomState
) -> Result:
    network, n_samples = subject.network, len(free.inputs)
    starts = []
    for activation, size in zip(network.activations, network.layer_sizes, strict=True):
        lower = -2 * reach if activation.lower is None else activation.lower
        upper = 2 * reach if activation.upper is None else activation.upper
        starts.append(rng.uniform(lower, upper, size=(n_samples, size)))
    field = FreeField(network, network.clamp(free.inputs), n_samples)
    return subject.settle_field(field, starts, np.full(n_samples, SETTLED * reach))


def _largest_difference(states: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    """Largest difference of a unit's state, for each sample."""
    in_layers = [
        np.abs(state - other).max(axis=1) for state, other in zip(states, others, strict=True)
    ]
    return np.max(in_layers, axis=0)
