"""The two processes of Theorems 3 and 4, step by step."""

from __future__ import annotations

import math

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation import DisplacementField, flow
from sklearn_eqprop._substrates.phases import network_at
from sklearn_eqprop._substrates.pushes import Nudge
from sklearn_eqprop._substrates.seam import FreePhase
from sklearn_eqprop.diagnostics._linearised import Jacobian
from sklearn_eqprop.diagnostics._subject import Subject

#: Strength of the nudge whose temporal derivative is taken: small, for the limit β → 0.
BETA = 1e-6


class Processes:
    """S and σ of all samples at one time, and their integrals.

    Parameters
    ----------
    subject : Subject
    free : FreePhase
    rows : slice
    step_size : float
    """

    def __init__(self, subject: Subject, free: FreePhase, rows: slice, step_size: float) -> None:
        network, xp = network_at(free), subject.network.backend.xp
        origin = subject.origin(free)
        self._network, self._step_size = network, step_size
        self._jacobian = Jacobian(network, origin)
        target = subject.on_device(subject.target, rows)
        push = Nudge(subject.loss, target, BETA, origin.states[-1], xp)
        self._field = DisplacementField(network, origin, target.shape[0], push)
        self._displacement = self._field.zero_states()
        #: S_l(t) and its integral.
        self.S = network.zero_states(target.shape[0])
        self.S[-1] = -subject.force(free, rows)
        self.S_integral = network.zero_states(target.shape[0])
        #: σ_l(t), what the next step moves the nudged dynamics by, in units of β and of time.
        self.sigma = self._velocity()
        self._start = self._sizes()

    @property
    def sigma_integral(self) -> list[Array]:
        """∫σ dt: how far the nudged dynamics have come, in units of β."""
        return [d / BETA for d in self._displacement]

    def advance(self) -> None:
        """One Euler step of both."""
        change = self._jacobian.transposed_times(self.S)
        for integral, S, dS in zip(self.S_integral, self.S, change, strict=True):
            integral += self._step_size * S
            S += self._step_size * dS
        for displacement, velocity in zip(self._displacement, self.sigma, strict=True):
            displacement += self._step_size * BETA * velocity
        self.sigma = self._velocity()

    def _velocity(self) -> list[Array]:
        """(1/β) ds^β/dt, without what would lead a unit beyond its range."""
        _, _, velocities = flow(self._field, self._displacement)
        moved = []
        for layer, velocity in enumerate(velocities, start=1):
            displacement = self._displacement[layer - 1]
            step = self._field.project(layer, displacement + self._step_size * velocity)
            moved.append((step - displacement) / (self._step_size * BETA))
        return moved

    def _sizes(self) -> list[float]:
        norm = self._network.norm
        return [
            math.sqrt(sum(norm(layer) ** 2 for layer in signal)) for signal in (self.S, self.sigma)
        ]

    def remaining(self) -> float:
        """The larger of ||S|| and ||σ|| in units of its start."""
        shares = [
            size / start if start else 0.0
            for size, start in zip(self._sizes(), self._start, strict=True)
        ]
        return max(shares)
