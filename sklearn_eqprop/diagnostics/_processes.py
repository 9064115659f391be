"""Theorems 3 and 4: error derivatives by recurrent backpropagation and as temporal derivatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_eqprop._backend import ignoring_float_errors
from sklearn_eqprop._relaxation import DisplacementField, flow
from sklearn_eqprop._sklearn_compat import InvalidParameterError
from sklearn_eqprop._substrates.phases import Nudge, network_at
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._directions import cosine
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._results import Readable, blocks_of, number, table
from sklearn_eqprop.diagnostics._subject import Subject, subject_of

#: Maximum number of rows. The processes of all samples are in memory together.
MAX_ROWS = 1024
#: β of the nudge whose temporal derivative is measured. It is small: the theorem holds for β → 0.
BETA = 1e-6


@dataclass(frozen=True, repr=False, eq=False)
class ErrorProcesses(Readable):
    """Result of `error_processes`: T recorded times, L layers, P blocks of parameters.

    A size of a signal is the root mean square, over the samples, of its norm in a layer.

    Attributes
    ----------
    times : ndarray of shape (T,)
        From 0 on, in units of the time constant of a unit.
    S_size, sigma_size : ndarray of shape (T, L)
        Sizes of S_l(t) and of σ_l(t).
    cosine : ndarray of shape (T, L)
        Cosine of S_l(t) with -σ_l(t), over all samples. NaN before a signal arrives.
    blocks : list of str
        Names of the blocks of parameters, as in `gradient_alignment`.
    roles : list of {'forward', 'feedback', 'bias'}
        The role of each block.
    sources : list of int or None
        The layer that each block reads, 0 (the input) to L. None for a bias.
    layers : list of int
        The layer that each block drives, 1 to L.
    theta_size, nu_size : ndarray of shape (T, P)
        Norms of Θ(t), which converges to dJ/dθ, and of ∫(∂μ/∂θ)^T σ, which converges to ν.
    theta_cosine : ndarray of shape (T, P)
        Cosine of -Θ(t) with ∫(∂μ/∂θ)^T σ. NaN if one of them is 0.
    gradient, nu : list of ndarray
        Both at the last time: dJ/dθ by Theorem 3 and ν by Theorem 4, means over the samples.
    remaining : float
        The larger of ||S|| and ||σ|| at the last time, each relative to its start.
    n_samples, n_unsettled : int
        Number of samples, and of those whose free phase did not settle.
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
        """Return cosine and sizes at the last time, one line per block."""
        last = zip(self.theta_cosine[-1], self.nu_size[-1], self.theta_size[-1], strict=True)
        rows = [
            [name, number(angle), f"{nu:.2e}", f"{theta:.2e}"]
            for name, (angle, nu, theta) in zip(self.blocks, last, strict=True)
        ]
        return (
            f"Error processes of {self.n_samples} samples ({self.n_unsettled} unsettled) up to "
            f"t = {self.times[-1]:g}; {self.remaining:.1e} of the signals remains\n"
            + table(["block", "cosine", "|∫(∂μ/∂θ)^T σ|", "|Θ|"], rows)
        )


@ignoring_float_errors
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

    Theorem 3 (Scellier et al. 2018; Almeida 1987, Pineda 1987) is computed with A^T:

        dS/dt = A^T S,  S(0) = C_s;     dΘ/dt = (∂μ/∂θ)^T S,  Θ(0) = 0,  Θ(∞) = dJ/dθ.

    Theorem 4: the nudged dynamics start at the free equilibrium. Their velocity
    σ = (1/β) ds^β/dt obeys the same equation with A in place of A^T, σ(0) = -C_s, and
    ∫(∂μ/∂θ)^T σ dt = ν. σ is *measured*: the nudged dynamics of the network are integrated with
    a small β. If A is symmetric, S = -σ at every step.

    Both are integrated by Euler steps in float64, all samples together. The limits of Θ and ν are
    exact for every step size.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        Fitted. It is not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        At most 1,024 rows. Sparse X is made dense, and gives the same result as dense X.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    step_size : float, default=0.1
        Euler step, in (0, 1].
    max_time : float, default=50.0
        Latest time, > 0.
    tol : float, default=1e-6
        Stop when S and σ have decreased to this fraction of their start, >= 0.
    n_records : int, default=50
        Approximate number of recorded times, >= 2. They are denser at the beginning.

    Returns
    -------
    ErrorProcesses

    Raises
    ------
    TypeError, NotFittedError, ValueError, DivergenceError
        As `gradient_alignment`. ValueError also if a parameter is out of range or X has too many
        rows.
    """
    subject = subject_of("error_processes", estimator, X, y, needs_y=True)
    _check(step_size, max_time, tol, n_records)
    if subject.n_samples > MAX_ROWS:
        msg = f"error_processes takes at most {MAX_ROWS} samples, got X with {subject.n_samples} "
        raise ValueError(msg + "rows. Pass fewer rows.")
    free = subject.settle(slice(0, subject.n_samples))
    unsettled = int((~free.result.converged).sum())
    subject.warn_about_unsettled("error_processes", unsettled)
    processes = _Processes(subject, free, step_size)
    n_steps = max(1, round(max_time / step_size))
    steps_to_record = _record_steps(n_steps, n_records)
    moments: list[dict[str, Any]] = []
    for step in range(n_steps + 1):
        remaining = processes.remaining()
        is_last = step == n_steps or remaining <= tol
        if is_last or step in steps_to_record:
            gradient, nu = processes.derivatives()
            moments.append({"times": step * step_size, **_moment(processes, gradient, nu)})
        if is_last:
            break
        processes.advance()
    names, roles, sources, layers = zip(*blocks_of(subject.network), strict=True)
    recorded: dict[str, Any] = {
        name: np.array([moment[name] for moment in moments]) for name in moments[0]
    }
    return ErrorProcesses(
        **recorded,
        blocks=list(names),
        roles=list(roles),
        sources=list(sources),
        layers=list(layers),
        gradient=gradient,
        nu=nu,
        remaining=remaining,
        n_samples=subject.n_samples,
        n_unsettled=unsettled,
    )


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
    """Steps to record at, about evenly spaced in the square root of time."""
    spaced = np.linspace(0, math.sqrt(n_steps), n_records) ** 2
    return {round(step) for step in spaced.tolist()}


class _Processes:
    """S and σ of all samples at one time, and their integrals.

    Parameters
    ----------
    subject : Subject
    free : FreePhase
        Of all rows.
    step_size : float
    """

    def __init__(self, subject: Subject, free: FreePhase, step_size: float) -> None:
        network, origin, n_samples = network_at(free), subject.origin(free), subject.n_samples
        self._free, self._shares, self._step_size = free, subject.shares, step_size
        self._substrate = subject.substrate()
        self._jacobian = Jacobian(subject, free)
        push = Nudge(subject.loss, subject.target, BETA, origin.states[-1], np)
        self._field = DisplacementField(network, origin, n_samples, push)
        self._displacement = self._field.zero_states()
        #: S_l(t).
        self.S = network.zero_states(n_samples)
        self.S[-1] = -subject.force(free, slice(None))
        self._S_integral = network.zero_states(n_samples)
        #: σ_l(t): the velocity of the nudged dynamics in the next step, divided by β.
        self.sigma = self._velocity()
        self._start = self._sizes()

    def derivatives(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Θ and ∫(∂μ/∂θ)^T σ, block by block, means over the samples."""
        # The integral of σ is the displacement of the nudged dynamics, divided by β.
        sigma_integral = [displacement / BETA for displacement in self._displacement]
        theta, nu = (
            self._substrate.local_change(self._free, [layer * self._shares for layer in integral])
            for integral in (self._S_integral, sigma_integral)
        )
        # The blocks of identities are empty.
        return [block for block in theta if block.size], [block for block in nu if block.size]

    def advance(self) -> None:
        """Make one Euler step of both processes."""
        change = self._jacobian.transposed_times(self.S)
        for integral, S, dS in zip(self._S_integral, self.S, change, strict=True):
            integral += self._step_size * S
            S += self._step_size * dS
        for displacement, velocity in zip(self._displacement, self.sigma, strict=True):
            displacement += self._step_size * BETA * velocity
        self.sigma = self._velocity()

    def _velocity(self) -> list[np.ndarray]:
        """(1/β) ds^β/dt. It does not move a unit beyond its range."""
        _, _, velocities = flow(self._field, self._displacement)
        moved = []
        for layer, velocity in enumerate(velocities, start=1):
            displacement = self._displacement[layer - 1]
            step = self._field.project(layer, displacement + self._step_size * velocity)
            moved.append((step - displacement) / (self._step_size * BETA))
        return moved

    def _sizes(self) -> list[float]:
        return [math.hypot(*map(np.linalg.norm, signal)) for signal in (self.S, self.sigma)]

    def remaining(self) -> float:
        """The larger of ||S|| and ||σ||, each relative to its start."""
        return max(
            size / start if start else 0.0
            for size, start in zip(self._sizes(), self._start, strict=True)
        )


def _moment(processes: _Processes, gradient: Any, nu: Any) -> dict[str, Any]:
    """Sizes and cosines at one time, by the names of their fields in `ErrorProcesses`."""
    root = math.sqrt(len(processes.S[-1]))
    return {
        "S_size": [size / root for size in _norms(processes.S)],
        "sigma_size": [size / root for size in _norms(processes.sigma)],
        "cosine": _cosines_with_minus(processes.S, processes.sigma),
        "theta_size": _norms(gradient),
        "nu_size": _norms(nu),
        "theta_cosine": _cosines_with_minus(gradient, nu),
    }


def _norms(arrays: Sequence[np.ndarray]) -> list[float]:
    return [float(np.linalg.norm(array)) for array in arrays]


def _cosines_with_minus(ones: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> list[float]:
    """Cosine of each array of the first list with minus its partner in the second."""
    return [cosine([one], [-other]) for one, other in zip(ones, others, strict=True)]
