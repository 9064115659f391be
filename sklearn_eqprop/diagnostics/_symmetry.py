"""The symmetry of A, which decides how closely equilibrium propagation follows the gradient."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._results import Readable
from sklearn_eqprop.diagnostics._subject import Subject, check_count, subject_of


@dataclass(frozen=True, repr=False, eq=False)
class JacobianSymmetry(Readable):
    """Result of `jacobian_symmetry`.

    Attributes
    ----------
    symmetry : float
        ||(A + A^T)/2||_F / ||A||_F, with norms over all samples. It is 1 for a symmetric A, 0 for
        an antisymmetric A, and about 0.7 for a random A.
    coupling : float
        The same ratio for A + 1, the connections without the leak -s of every unit. The leak is
        symmetric and hides weak connections. NaN if no units are connected.
    standard_error, coupling_error : float
        Standard errors of the two ratios, from the spread of the probes. 0 if `exact`.
    per_sample, coupling_per_sample : ndarray of shape (n_samples,)
        The two ratios for each sample.
    exact : bool
        Whether every unit was probed on its own.
    n_probes : int
        Number of probe vectors.
    n_samples, n_unsettled : int
        Number of samples, and of those that did not settle.
    """

    symmetry: float
    coupling: float
    standard_error: float
    coupling_error: float
    per_sample: np.ndarray
    coupling_per_sample: np.ndarray
    exact: bool
    n_probes: int
    n_samples: int
    n_unsettled: int

    def __str__(self) -> str:
        """Return both ratios with their standard errors."""
        how = "every unit probed" if self.exact else f"{self.n_probes} random probes"
        return (
            f"Symmetry of A over {self.n_samples} samples ({self.n_unsettled} unsettled), {how}\n"
            f"||(A + A^T)/2|| / ||A||        {self.symmetry:.4f} ± {self.standard_error:.4f}\n"
            f"the same for A + 1 (no leak)   {self.coupling:.4f} ± {self.coupling_error:.4f}"
        )


@ignoring_float_errors
def jacobian_symmetry(
    estimator: Any, X: Any, *, n_probes: int = 64, random_state: Any = 0
) -> JacobianSymmetry:
    """Degree of symmetry of A = ∂μ/∂s at the free equilibria (Theorem 1).

    A is not stored. For random signs e, E||A e||² = ||A||_F² and E||(A + A^T) e||² =
    ||A + A^T||_F², and each product is one pass through the connections. If the network has no more
    units than `n_probes`, every unit is probed on its own, and the result is exact. Units of
    bounded activations that are at a bound are left out of A. With smooth activations A is not
    symmetric even if weights are tied, because it contains the slopes ρ' of the transmitting units
    (see the caution in the theory page).

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Sparse X is made dense a few rows at a time, and gives the same result as dense X.
    n_probes : int, default=64
        Maximum number of probes for each sample, >= 2.
    random_state : int, RandomState instance or None, default=0
        Draws the probes.

    Returns
    -------
    JacobianSymmetry

    Raises
    ------
    TypeError, NotFittedError, ValueError, DivergenceError
        As `gradient_alignment`. ValueError also if `n_probes` is not an integer >= 2.
    """
    subject = subject_of("jacobian_symmetry", estimator, X, needs_y=False)
    check_count("n_probes", n_probes, least=2)
    exact = sum(subject.network.layer_sizes) <= n_probes
    rng = check_random_state(random_state)
    parts, unsettled = [], 0
    for rows in subject.chunks():
        free = subject.settle(rows)
        unsettled += int((~free.result.converged).sum())
        jacobian = Jacobian(subject, free)
        probes = _units(subject, rows) if exact else _signs(subject, rows, int(n_probes), rng)
        parts.append(np.stack([_squares(jacobian, probe) for probe in probes]))
    subject.warn_about_unsettled("jacobian_symmetry", unsettled)
    squares = np.concatenate(parts, axis=2)  # (probe, quantity, sample)
    return _summary(squares, exact=exact, unsettled=unsettled)


def _units(subject: Subject, rows: slice) -> Iterator[list[np.ndarray]]:
    """For each unit, a probe in which only this unit is 1."""
    for layer, size in enumerate(subject.network.layer_sizes):
        for unit in range(size):
            probe = subject.network.zero_states(rows.stop - rows.start)
            probe[layer][:, unit] = 1
            yield probe


def _signs(
    subject: Subject, rows: slice, n_probes: int, rng: np.random.RandomState
) -> Iterator[list[np.ndarray]]:
    """Probes with a random sign for every unit of every sample."""
    n_rows = rows.stop - rows.start
    for _ in range(n_probes):
        yield [
            2.0 * rng.randint(2, size=(n_rows, size)) - 1.0 for size in subject.network.layer_sizes
        ]


def _squares(jacobian: Jacobian, probe: list[np.ndarray]) -> np.ndarray:
    """||A e||², ||(A + A^T) e / 2||², and both for A + 1; shape (4, n_samples)."""
    probe = jacobian.restricted(probe)
    products = list(
        zip(jacobian.times(probe), jacobian.transposed_times(probe), probe, strict=True)
    )
    vectors = [
        [a for a, _, _ in products],
        [(a + b) / 2 for a, b, _ in products],
        [a + e for a, _, e in products],
        [(a + b) / 2 + e for a, b, e in products],
    ]
    return np.stack([sum((x**2).sum(axis=1) for x in vector) for vector in vectors])


def _summary(squares: np.ndarray, *, exact: bool, unsettled: int) -> JacobianSymmetry:
    n_probes, _, n_samples = squares.shape
    full, half, full_coupling, half_coupling = squares.transpose(1, 0, 2)
    return JacobianSymmetry(
        symmetry=float(_ratio(half.sum(), full.sum())),
        coupling=float(_ratio(half_coupling.sum(), full_coupling.sum())),
        standard_error=0.0 if exact else _standard_error(half, full),
        coupling_error=0.0 if exact else _standard_error(half_coupling, full_coupling),
        per_sample=_ratio(half.sum(axis=0), full.sum(axis=0)),
        coupling_per_sample=_ratio(half_coupling.sum(axis=0), full_coupling.sum(axis=0)),
        exact=exact,
        n_probes=n_probes,
        n_samples=n_samples,
        n_unsettled=unsettled,
    )


def _ratio(half: Any, full: Any) -> Any:
    """Ratio of two norms, given their squares. NaN if both are 0."""
    return np.sqrt(np.divide(half, full))


def _standard_error(half: np.ndarray, full: np.ndarray) -> float:
    """Standard error of the overall ratio by the delta method, with probes as independent draws."""
    a, b = half.sum(axis=1), full.sum(axis=1)
    ratio = _ratio(a.sum(), b.sum())
    if not ratio > 0:
        return math.nan if ratio != ratio else 0.0
    deviations = (a - ratio**2 * b) / b.mean()
    return float(deviations.std(ddof=1) / math.sqrt(len(a)) / (2 * ratio))
