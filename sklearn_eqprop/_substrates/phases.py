"""What the simulated network knows of a phase once it has settled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.seam import FreePhase


@dataclass
class SettledPhase(FreePhase):
    """A free phase that a simulated network has settled in.

    Attributes
    ----------
    settled : Network
        With the winners held that the inputs decided on.
    """

    settled: Network

    @cached_property
    def network(self) -> Network:
        """The network as it is at this equilibrium: winners of its poolings held, if it has any."""
        return self.settled.hold(self.result.states)


def held_at(free: FreePhase) -> Network:
    """The network at the equilibrium of a free phase of its own; see `Graph`."""
    return cast("SettledPhase", free).network


def nudged_states(free: FreePhase, displacement: Result) -> Result:
    """A nudged phase by its states, s^0 + d, instead of its displacements."""
    states = [s + d for s, d in zip(free.result.states, displacement.states, strict=True)]
    return Result(
        states,
        displacement.n_steps,
        displacement.residual,
        displacement.converged,
        n_averaged=displacement.n_averaged,
    )


def part_of(result: Result, rows: slice) -> Result:
    """What a result says about some of its samples."""
    return Result(
        states=[state[rows] for state in result.states],
        n_steps=result.n_steps[rows],
        residual=result.residual[rows],
        converged=result.converged[rows],
    )
