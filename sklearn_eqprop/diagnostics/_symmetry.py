"""How symmetric A is, which decides how well equilibrium propagation follows the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.phases import network_at
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._readable import Readable
from sklearn_eqprop.diagnostics._subject import Subject, subject_of, warn_about_unsettled


@dataclass(frozen=True, repr=False, eq=False)
class JacobianSymmetry(Readable):
    """What `jacobian_symmetry` found.

    Attributes
    ----------
    symmetry : float
        ||(A + A^T)/2||_F / ||A||_F, norms taken over all samples: 1 for a symmetric A, 0 for an
        antisymmetric one, about 0.7 for one without any order.
    coupling : float
        The same of A + 1, the connections without the leak -s of every unit. The leak is
        symmetric and hides what the connections are like where they are weak. NaN without any
        connection between units.
    standard_error, coupling_error : float
        Of the two above, from how the probes differ; 0 where exact.
    per_sample, coupling_per_sample : ndarray of shape (n_samples,)
        The same of each sample.
    exact : bool
        Whether every unit was probed by itself.
    n_probes : int
        Probe vectors used.
    n_samples, n_unsettled : int
        Samples looked at, and those that did not settle.
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
        """See `Readable`."""
        how = "every unit probed" if self.exact else f"{self.n_probes} random probes"
        return (
            f"Symmetry of A over {self.n_samples} samples ({self.n_unsettled} unsettled), {how}\n"
            f"||(A + A^T)/2|| / ||A||        {self.symmetry:.4f} ± {self.standard_error:.4f}\n"
            f"the same of A + 1 (no leak)    {self.coupling:.4f} ± {self.coupling_error:.4f}"
        )


def jacobian_symmetry(
    estimator: Any, X: Any, *, n_probes: int = 64, random_state: Any = 0
) -> JacobianSymmetry:
    """Degree of symmetry of A = ∂μ/∂s at the free equilibria (Theorem 1).

    A is not formed: for random signs e, E||A e||² = ||A||_F² and E||(A + A^T) e||² =
    ||A + A^T||_F², and the products take a pass through the connections each. A network of no more
    units than probes is probed unit by unit, which is exact. Units of bounded activations
    that are at a bound are no part of A. With smooth activations A is not symmetric even with tied
    weights: it holds ρ' of the transmitting unit (see the caution in the theory page).

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Sparse X is made dense, some rows at a time, and gives what dense X gives.
    n_probes : int, default=64
        Most probes for each sample, >= 2.
    random_state : int, RandomState instance or None, default=0
        Draws the probes.

    Returns
    -------
    JacobianSymmetry

    Raises
    ------
    TypeError, NotFittedError, ValueError, DivergenceError
        As `gradient_alignment`; ValueError also if `n_probes` is not an integer >= 2.
    """
    subject = subject_of("jacobian_symmetry", estimator, X, needs_y=False)
    if not isinstance(n_probes, Integral) or isinstance(n_probes, bool) or n_probes < 2:
        msg = f"n_probes must be an integer of at least 2, from which to judge. Got {n_probes!r}."
        raise InvalidParameterError(msg)
    exact = sum(subject.network.layer_sizes) <= n_probes
    rng = check_random_state(random_state)
    parts, n_unsettled = [], 0
    for rows in subject.chunks():
        free = subject.settle(rows)
        n_unsettled += free.result.converged.shape[0] - int(free.result.converged.sum())
        jacobian = Jacobian(network_at(free), subject.origin(free))
        probes = _units(subject, rows) if exact else _signs(subject, rows, int(n_probes), rng)
        parts.append(np.stack([_squares(subject, jacobian, probe) for probe in probes]))
    warn_about_unsettled("jacobian_symmetry", n_unsettled, subject.X.shape[0])
    squares = np.concatenate(parts, axis=2)  # (probe, quantity, sample)
    return _summary(squares, exact=exact, n_unsettled=n_unsettled)


def _units(subject: Subject, rows: slice) -> Iterator[list[Array]]:
    """One unit after the other set to 1."""
    n_rows = rows.stop - rows.start
    for layer, size in enumerate(subject.network.layer_sizes):
        for unit in range(size):
            probe = subject.network.zero_states(n_rows)
            probe[layer][:, unit] = 1
            yield probe


def _signs(
    subject: Subject, rows: slice, n_probes: int, rng: np.random.RandomState
) -> Iterator[list[Array]]:
    """A random sign for every unit of every sample."""
    n_rows = rows.stop - rows.start
    for _ in range(n_probes):
        yield [
            subject.network.backend.from_host(
                2.0 * rng.randint(2, size=(n_rows, size)) - 1.0, subject.network.dtype
            )
            for size in subject.network.layer_sizes
        ]


def _squares(subject: Subject, jacobian: Jacobian, probe: list[Array]) -> np.ndarray:
    """||A e||², ||(A + A^T) e / 2||² and the same of A + 1; shape (4, n_samples)."""
    probe = jacobian.restricted(probe)
    there, back = jacobian.times(probe), jacobian.transposed_times(probe)
    half = [(a + b) / 2 for a, b in zip(there, back, strict=True)]
    vectors = [there, half, _added(there, probe), _added(half, probe)]
    to_host = subject.network.backend.to_host
    return np.stack([to_host(sum((x**2).sum(axis=1) for x in vector)) for vector in vectors])


def _added(vectors: Sequence[Array], probe: Sequence[Array]) -> list[Array]:
    return [vector + e for vector, e in zip(vectors, probe, strict=True)]


def _summary(squares: np.ndarray, *, exact: bool, n_unsettled: int) -> JacobianSymmetry:
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
        n_unsettled=n_unsettled,
    )


def _ratio(half: Any, full: Any) -> Any:
    """Ratio of norms from squares; NaN where there is nothing to compare."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.divide(half, full))


def _standard_error(half: np.ndarray, full: np.ndarray) -> float:
    """Of the overall ratio, each probe counting as one draw (delta method)."""
    a, b = half.sum(axis=1), full.sum(axis=1)
    ratio = _ratio(a.sum(), b.sum())
    if not ratio > 0:
        return math.nan if ratio != ratio else 0.0
    deviations = (a - ratio**2 * b) / b.mean()
    return float(deviations.std(ddof=1) / math.sqrt(len(a)) / (2 * ratio))
