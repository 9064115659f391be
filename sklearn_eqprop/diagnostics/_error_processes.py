"""Theorems 3 and 4: error derivatives by recurrent backpropagation and as temporal derivatives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._network import Network
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._blocks import blocks_of
from sklearn_eqprop.diagnostics._directions import cosine
from sklearn_eqprop.diagnostics._error_dynamics import Processes
from sklearn_eqprop.diagnostics._readable import Readable, number, table
from sklearn_eqprop.diagnostics._subject import Subject, subject_of, warn_about_unsettled

#: Most rows: the processes of all samples are carried along together.
MAX_ROWS = 1024


@dataclass(frozen=True, repr=False, eq=False)
class ErrorProcesses(Readable):
    """What `error_processes` found. T recorded times, L layers, P blocks of parameters.

    Sizes are root mean squares over the samples of the norm in a layer.

    Attributes
    ----------
    times : ndarray of shape (T,)
        From 0 on, in units of the time constant of a unit.
    S_size, sigma_size : ndarray of shape (T, L)
        Size of S_l(t) and of σ_l(t).
    cosine : ndarray of shape (T, L)
        Of S_l(t) with -σ_l(t), over all samples; NaN before a signal has arrived.
    blocks : list of str
        Names of the blocks of parameters, as in `gradient_alignment`.
    roles : list of {'forward', 'feedback', 'bias'}
        What each block is.
    sources : list of int or None
        The layer each block reads, 0 (the input) to L; None for a bias.
    layers : list of int
        The layer each block drives, 1..L.
    theta_size, nu_size : ndarray of shape (T, P)
        Norms of Θ(t), which tends to dJ/dθ, and of ∫(∂μ/∂θ)^T σ, which tends to ν.
    theta_cosine : ndarray of shape (T, P)
        Of -Θ(t) with ∫(∂μ/∂θ)^T σ; NaN where one of them is 0.
    gradient, nu : list of ndarray
        Both at the last time: dJ/dθ by Theorem 3, ν by Theorem 4, means over the samples.
    remaining : float
        The larger of ||S|| and ||σ|| at the last time, each in units of its start.
    n_samples, n_unsettled : int
        Samples looked at, and those whose free phase did not settle.
    """

    times: np.ndarray
    S_size: np.ndarray
    sigma_size: np.ndarray
    cosine: np.ndarray
    blocks: list[str]
    roles: list[str]
    sources: list[int | None]
    layers: list[int]
    theta_size: np.ndarray
    nu_size: np.ndarray
    theta_cosine: np.ndarray
    gradient: list[np.ndarray]
    nu: list[np.ndarray]
    remaining: float
    n_samples: int
    n_unsettled: int

    def __str__(self) -> str:
        """See `Readable`."""
        rows = [
            [name, number(c), f"{of_nu:.2e}", f"{of_theta:.2e}"]
            for name, c, of_nu, of_theta in zip(
                self.blocks,
                self.theta_cosine[-1],
                self.nu_size[-1],
                self.theta_size[-1],
                strict=True,
            )
        ]
        return (
            f"Error processes of {self.n_samples} samples ({self.n_unsettled} unsettled) up to "
            f"t = {self.times[-1]:g}; {self.remaining:.1e} of the signals remains\n"
            + table(["block", "cosine", "|∫(∂μ/∂θ)^T σ|", "|Θ|"], rows)
        )


def error_processes(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    step_size: float = 0.1,
    max_time: float = 50.0,
    tol: float = 1e-6,
    n_records: int = 50,
) -> ErrorProcesses:
    """Follow the two processes that compute error derivatives through time.

    Theorem 3 (Scellier et al. 2018; Almeida 1987, Pineda 1987), worked out with A^T:

        dS/dt = A^T S,  S(0) = C_s;     dΘ/dt = (∂μ/∂θ)^T S,  Θ(0) = 0,  Θ(∞) = dJ/dθ.

    Theorem 4: started at the free equilibrium, the nudged dynamics move so that
    σ = (1/β) ds^β/dt obeys the same equation with A in place of A^T, σ(0) = -C_s, and
    ∫(∂μ/∂θ)^T σ dt = ν. σ is *measured*: the nudged dynamics of the network are integrated with
    a small β and their velocity is read off. Where A is symmetric, S = -σ at every step.

    Both are integrated by Euler steps in float64, all samples side by side. Whatever the step,
    the limits of Θ and ν are exact.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        At most 1,024 rows. Sparse X is made dense, and gives what dense X gives.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    step_size : float, default=0.1
        Euler step, in (0, 1].
    max_time : float, default=50.0
        Where to stop at the latest, > 0.
    tol : float, default=1e-6
        Stop once S and σ have fallen to this fraction of their start, >= 0.
    n_records : int, default=50
        About how many times are recorded, >= 2, denser at the beginning.

    Returns
    -------
    ErrorProcesses

    Raises
    ------
    TypeError, NotFittedError, ValueError, DivergenceError
        As `gradient_alignment`; ValueError also for a parameter out of range or too many rows.
    """
    subject = subject_of("error_processes", estimator, X, y, needs_y=True)
    _check(step_size, max_time, tol, n_records)
    n_samples = subject.X.shape[0]
    if n_samples > MAX_ROWS:
        msg = f"error_processes follows at most {MAX_ROWS} samples, got X with {n_samples} rows."
        raise ValueError(msg)
    rows = slice(0, n_samples)
    free = subject.settle(rows)
    n_unsettled = n_samples - int(free.result.converged.sum())
    warn_about_unsettled("error_processes", n_unsettled, n_samples)
    processes = Processes(subject, free, rows, step_size)
    n_steps = max(1, round(max_time / step_size))
    recorder = _Recorder(subject, free)
    recorded = _record_steps(n_steps, n_records)
    remaining = 1.0
    for step in range(n_steps + 1):
        remaining = processes.remaining()
        over = step == n_steps or remaining <= tol
        if over or step in recorded:
            recorder.record(step * step_size, processes)
        if over:
            break
        processes.advance()
    return recorder.result(remaining, n_samples, n_unsettled)


def _check(step_size: float, max_time: float, tol: float, n_records: int) -> None:
    valid = {
        f"step_size={step_size!r} must be in (0, 1].": 0 < step_size <= 1,
        f"max_time={max_time!r} must be a positive number.": 0 < max_time < math.inf,
        f"tol={tol!r} must be at least 0.": tol >= 0,
        f"n_records={n_records!r} must be at least 2.": n_records >= 2,
    }
    for message, is_valid in valid.items():
        if not is_valid:
            raise InvalidParameterError(message)


def _record_steps(n_steps: int, n_records: int) -> set[int]:
    """Steps to record at: roughly evenly spaced in the square root of time."""
    spaced = np.linspace(0, math.sqrt(n_steps), n_records) ** 2
    return {round(step) for step in spaced.tolist()}


class _Recorder:
    """What is kept of the processes.

    Parameters
    ----------
    subject : Subject
    free : FreePhase
    """

    def __init__(self, subject: Subject, free: FreePhase) -> None:
        self._network = subject.network
        self._substrate = subject.substrate()
        self._free = free
        self._shares = subject.on_device(subject.shares, slice(None))
        self._lines: list[tuple[Any, ...]] = []
        self._gradient: list[np.ndarray] = []
        self._nu: list[np.ndarray] = []

    def record(self, time: float, processes: Processes) -> None:
        """Take down one moment."""
        self._gradient = self._local_change(processes.S_integral)
        self._nu = self._local_change(processes.sigma_integral)
        pairs = list(zip(self._gradient, self._nu, strict=True))
        self._lines.append(
            (
                time,
                self._layer_sizes(processes.S),
                self._layer_sizes(processes.sigma),
                list(_opposite(zip(processes.S, processes.sigma, strict=True))),
                [float(np.linalg.norm(block)) for block in self._gradient],
                [float(np.linalg.norm(block)) for block in self._nu],
                list(_opposite(pairs)),
            )
        )

    def result(self, remaining: float, n_samples: int, n_unsettled: int) -> ErrorProcesses:
        """Everything taken down."""
        times, S, sigma, cosines, theta, nu, theta_cosines = (
            np.array(column) for column in zip(*self._lines, strict=True)
        )
        names, roles, sources, layers = zip(*blocks_of(self._network), strict=True)
        return ErrorProcesses(
            times=times,
            S_size=S,
            sigma_size=sigma,
            cosine=cosines,
            blocks=list(names),
            roles=list(roles),
            sources=list(sources),
            layers=list(layers),
            theta_size=theta,
            nu_size=nu,
            theta_cosine=theta_cosines,
            gradient=self._gradient,
            nu=self._nu,
            remaining=remaining,
            n_samples=n_samples,
            n_unsettled=n_unsettled,
        )

    def _local_change(self, integral: Sequence[Array]) -> list[np.ndarray]:
        deltas = [layer * self._shares for layer in integral]
        changes = self._substrate.local_change(self._free, deltas)
        return [self._network.backend.to_host(change) for change in changes]

    def _layer_sizes(self, signal: Sequence[Array]) -> list[float]:
        return [_norm_per_sample(self._network, layer) for layer in signal]


def _norm_per_sample(network: Network, layer: Array) -> float:
    return network.norm(layer) / math.sqrt(layer.shape[0])


def _opposite(pairs: Any) -> Iterator[float]:
    """Cosine of each first with minus its second."""
    for one, other in pairs:
        yield cosine([one], [-other])
