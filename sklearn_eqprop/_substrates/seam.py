"""The seam between learning and dynamics: two verbs, settle and local change.

A learner never looks inside the dynamics. Anything that settles, under a clamped input and then
under a push on its output as well, and lets each synapse multiply what it sees on its two
sides, can be trained: the simulated network here, or a noisy, quantised or physical one.
What the learner has set the parameters to is a record of its own, a `Network`; what the
substrate has made of them stays the substrate's business (see `Trainer`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result


@dataclass
class FreePhase:
    """A free equilibrium and what it belongs to.

    Attributes
    ----------
    inputs : array, or CSR array on the host, of shape (n_samples, n_features)
    result : Result
        Its ``states`` are what the learner sees: the output for the loss, all of them nowhere
        but in `Substrate.local_change`.
    """

    inputs: Array
    result: Result

    def loss(self, xp: Any, loss: Loss, target: Array) -> Array:
        """What the free phase costs, C of each sample, shape (n_samples,)."""
        return loss.value(xp, self.result.states[-1], target)


class Substrate(Protocol):
    """What a learner can ask of a dynamical system.

    One that takes very sparse inputs as CSR arrays says so by an attribute ``reads_sparse = True``;
    to others they come dense.
    """

    def settle(self, inputs: Array) -> FreePhase:
        """Free phase: clamp the input and let the system come to rest."""
        ...

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases: from the free equilibrium, push the output with each strength β.

        The ``states`` of the results are displacements from the free equilibrium, s^β - s^0.
        """
        ...

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """(∂μ/∂θ)^T Δ for each block of parameters, Δ being weighted by sample.

        ΔF_l = ρ(s_{l-1})^T Δ_l, ΔB_l = ρ(s_{l+1})^T Δ_l, Δb_l = Σ Δ_l: fresh arrays in the order
        and shapes of `Network.parameters`, which the learner may change. None for a block that
        does not learn from its own local change.
        """
        ...


class TransposableSubstrate(Substrate, Protocol):
    """A system whose connections can also be used in reverse, for exact gradients.

    Attributes
    ----------
    network : Network
        Parameters of the system; its backend holds all arrays.
    """

    network: Network

    def settle_corrected(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """As `settle_nudged`, in the field corrected by (A^T - A)(s - s^0)."""
        ...

    def settle_adjoint(self, free: FreePhase, force: Array) -> Result:
        """Solution λ of ``A^T λ + force = 0``, the force acting on the output, as ``states``."""
        ...


class SlopedSubstrate(Substrate, Protocol):
    """A system that can tell the slopes of its units, for rules that send errors around it.

    Attributes
    ----------
    network : Network
        Parameters of the system; its backend holds all arrays.
    """

    network: Network

    def slopes(self, free: FreePhase) -> list[Array | None]:
        """ρ'(s^0) of layers 1..L, 0 for a unit at a bound; None if all slopes of a layer are 1."""
        ...


class ProbedSubstrate(Substrate, Protocol):
    """A system whose units can be pushed a little and watched, for homeostasis."""

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        """What each feedback synapse sees of the Jacobian's asymmetry (`local_asymmetries`)."""
        ...


class Flow(Protocol):
    """A nudged phase step by step. The weights may move between the steps.

    Attributes
    ----------
    leverages : list of float
        For each layer, the most that its states move, relative to the displacement that was
        measured, if its weights move by the change measured: Σ of weight · (1 + ``||ρ||²``)
        over the samples, with the rates of all units that drive the layer.
    """

    leverages: list[float]

    def __iter__(self) -> Iterator[list[Array]]:
        """What each block of parameters measures in every step, (∂μ/∂θ(s_t))^T (s_{t+1} - s_t)."""
        ...

    def result(self) -> Result:
        """Where it ended, as a displacement from where it started."""
        ...


class FlowingSubstrate(Substrate, Protocol):
    """A system whose synapses can be watched while it settles."""

    def flow(
        self, free: FreePhase, loss: Loss, target: Array, strength: float, weights: Any
    ) -> Flow:
        """From the free equilibrium, nudged with strength β; `weights`: share of each sample."""
        ...


class ClampableSubstrate(Substrate, Protocol):
    """A system whose output can be held where its target is: a nudge of infinite strength."""

    def settle_clamped(self, free: FreePhase, target: Array) -> Result:
        """From the free equilibrium, with the output held at the target; displacements."""
        ...

    def local_contrast(
        self, free: FreePhase, displacements: Sequence[Array], weights: Any
    ) -> list[Array]:
        """What each block measures between two equilibria that may be far apart.

        Tied weights see the products of the rates on their two sides, ρ^c ρ^c - ρ^f ρ^f;
        others the free rate times the displacement. `weights` is the share of each sample.
        """
        ...
