"""Settled free phases, as learners see them and as the simulated network keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result


@dataclass
class FreePhase:
    """A free equilibrium and the inputs that it belongs to.

    Attributes
    ----------
    inputs : array, or CSR array on the host, of shape (n_samples, n_features)
    result : Result
        The learner reads the output of its ``states``, for the loss. It passes all of them back to
        the substrate in `Substrate.local_change`.
    """

    inputs: Array
    result: Result

    def loss(self, xp: Any, loss: Loss, target: Array) -> Array:
        """C of each sample at the free equilibrium, shape (n_samples,)."""
        return loss.value(xp, self.result.states[-1], target)


@dataclass
class SettledPhase(FreePhase):
    """A free phase of a simulated network.

    Attributes
    ----------
    driven : Network
        The network with the winners held that the inputs decide on.
    """

    driven: Network

    @cached_property
    def network(self) -> Network:
        """The network with the winners of its max pooling held at this equilibrium."""
        return self.driven.hold(self.result.states)


def network_at(free: FreePhase) -> Network:
    """The network at the equilibrium of a simulated free phase, with its winners held."""
    return cast("SettledPhase", free).network


def nudged_states(free: FreePhase, displacement: Result) -> Result:
    """Result of a nudged phase with its states, s^0 + d, in place of its displacements."""
    states = [s + d for s, d in zip(free.result.states, displacement.states, strict=True)]
    return replace(displacement, states=states)
