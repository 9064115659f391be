"""Pushes on the output of a network in its nudged phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._substrates.limits import faintest


class Nudge:
    """The push β (-∂C/∂s_L) on the output of every sample (Eqs. 13-16, Scellier et al. 2018).

    Parameters
    ----------
    loss : Loss
    target : array of shape (n_samples, n_outputs)
    beta : float or array of shape (n_samples, 1)
        Influence parameter; one a sample where phases are stacked.
    origin : array of shape (n_samples, n_outputs) or float
        Output state from which displacements count; 0 where outputs are states themselves.
    xp : module
        Array module.
    """

    def __init__(self, loss: Loss, target: Array, beta: Any, origin: Any, xp: Any) -> None:
        self._loss = loss
        self._target = target
        self._beta = beta
        self._origin = origin
        self._xp = xp
        self._size = size_of(xp, beta)

    def velocity(self, drive: Array, output: Array) -> Array:
        """See `relaxation.Push.velocity`."""
        what = (drive, output, self._origin, self._target, self._beta)
        return without_faint(self._xp, self._loss.velocity(self._xp, *what), self._size)

    def resolve(self, drive: Array, output: Array) -> Array:
        """See `relaxation.Push.resolve`."""
        what = (drive, output, self._origin, self._target, self._beta)
        return without_faint(self._xp, self._loss.resolve(self._xp, *what), self._size)

    def take(self, rows: Array) -> Nudge:
        """See `relaxation.Push.take`."""

        def of(value: Any) -> Any:
            return value[rows] if hasattr(value, "shape") else value

        return Nudge(self._loss, self._target[rows], of(self._beta), of(self._origin), self._xp)


class ConstantPush:
    """A force on the output that does not depend on its state.

    Parameters
    ----------
    force : array of shape (n_samples, n_outputs)
    """

    def __init__(self, force: Array) -> None:
        self._force = force

    def velocity(self, drive: Array, output: Array) -> Array:
        """See `relaxation.Push.velocity`."""
        velocity = drive - output
        velocity += self._force
        return velocity

    def resolve(self, drive: Array, output: Array) -> Array:
        """See `relaxation.Push.resolve`."""
        return drive + self._force

    def take(self, rows: Array) -> ConstantPush:
        """See `relaxation.Push.take`."""
        return ConstantPush(self._force[rows])


def size_of(xp: Any, beta: Any) -> float:
    """Largest ``|β|`` of the samples, as `without_faint` needs it; a device is not asked."""
    return float(np.abs(beta).max()) if xp is np else 1.0


def without_faint(xp: Any, push: Array, beta: float = 1.0) -> Array:
    """What pushes the output, or has moved it, with 0 in place of what counts as none.

    Of samples that are fitted well next to no push is left, and less and less on its way through
    weak feedback: subnormal numbers, which some processors take many times as long to multiply.
    Devices do not, and are spared the work.
    """
    return push if xp is not np else np.where(np.abs(push) < faintest(push.dtype, beta), 0, push)


def stacked_strengths(network: Network, strengths: Sequence[float], n_samples: int) -> Array:
    """β of every row where phases of the same samples are stacked, shape (n_rows, 1)."""
    xp = network.backend.xp
    columns = [xp.full((n_samples, 1), strength, dtype=network.dtype) for strength in strengths]
    return xp.concatenate(columns)
