"""The interface between learning and dynamics: two verbs, settle and local change.

A learner never looks inside the dynamics. A system can be trained if it settles under a clamped
input, and then under a push on its output, and if each synapse can multiply the two numbers that it
sees at its ends: the simulated network here, or a noisy, quantised or physical one. The learner
keeps its own record of the parameters, a `Network`. How closely the substrate follows this record
is up to the substrate (see `Trainer`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._substrates.phases import FreePhase


class Substrate(Protocol):
    """Everything that a learner asks of a dynamical system.

    A substrate that reads very sparse inputs as CSR arrays has an attribute
    ``reads_sparse = True``. Others get dense inputs.
    """

    def settle(self, inputs: Array) -> FreePhase:
        """Free phase: clamp the input and let the system settle."""

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases: from the free equilibrium, push the output with each strength β.

        The ``states`` of the results are displacements from the free equilibrium, s^β - s^0.
        """

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array]:
        """(∂μ/∂θ)^T Δ for each block of parameters; Δ is weighted by sample.

        ΔF_l = ρ(s_{l-1})^T Δ_l, ΔB_l = ρ(s_{l+1})^T Δ_l, Δb_l = Σ Δ_l: fresh arrays in the order
        and shapes of `Network.parameters`, which the learner may change. None for a block that
        does not learn from its own local change.
        """


class TransposableSubstrate(Substrate, Protocol):
    """A system whose connections can also be used in reverse, for exact gradients."""

    #: Parameters of the system; its backend holds all arrays.
    network: Network

    def settle_corrected(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """As `settle_nudged`, in the field corrected by (A^T - A)(s - s^0)."""

    def settle_adjoint(self, free: FreePhase, force: Array) -> Result:
        """Solution λ of ``A^T λ + force = 0``, as ``states``; the force acts on the output."""


class SlopedSubstrate(Substrate, Protocol):
    """A system that can tell the slopes of its units, for rules that send errors around it."""

    #: Parameters of the system; its backend holds all arrays.
    network: Network

    def slopes(self, free: FreePhase) -> list[Array | None]:
        """ρ'(s^0) of layers 1..L, 0 for a unit at a bound; None if all slopes of a layer are 1."""


class WritingSubstrate(Substrate, Protocol):
    """A system whose synapses cannot follow each update of the learner's record."""

    def take_update(self) -> None:
        """Move the synapses by the update that the record has just made, and correct the record.

        The learner calls it after every update. In `settle`, a record that has changed in another
        way is to be written as it is.
        """


class ProbedSubstrate(Substrate, Protocol):
    """A system whose units can be pushed a little and observed, for homeostasis."""

    def local_asymmetry(
        self, free: FreePhase, probes: Sequence[Array], gains: Sequence[float], weights: Any
    ) -> list[Array]:
        """Asymmetry of the Jacobian that each feedback synapse measures while units are pushed.

        `probes` are small random pushes of layers 1..L, of mean 0 and covariance 1. `gains` has γ
        of each feedback connection, `weights` the share of each sample in the mean. The arrays have
        the order and shapes of the feedback weights.
        """


class Flow(Protocol):
    """A nudged phase step by step. The weights may move between the steps."""

    #: For each layer, the largest movement of its states, relative to the measured displacement, if
    #: its weights move by the measured change: Σ of weight · (1 + ``||ρ||²``) over the samples,
    #: with the rates of all units that drive the layer.
    leverages: list[float]

    def __iter__(self) -> Iterator[list[Array]]:
        """Change that each block measures in every step, (∂μ/∂θ(s_t))^T (s_{t+1} - s_t)."""

    def result(self) -> Result:
        """Displacements from the start at the last step."""


class FlowingSubstrate(Substrate, Protocol):
    """A system whose synapses can be observed while it settles."""

    def flow(
        self, free: FreePhase, loss: Loss, target: Array, strength: float, weights: Any
    ) -> Flow:
        """From the free equilibrium, nudged with strength β; `weights`: share of each sample."""


class ClampableSubstrate(Substrate, Protocol):
    """A system whose output can be clamped to its target: a nudge of infinite strength."""

    def settle_clamped(self, free: FreePhase, target: Array) -> Result:
        """From the free equilibrium, with the output clamped to the target; displacements."""

    def local_contrast(
        self, free: FreePhase, displacements: Sequence[Array], weights: Any
    ) -> list[Array]:
        """Change that each block measures between two equilibria that may be far apart.

        In a tied network, weights with a feedback partner measure the products of the rates at
        their two ends, ρ^c ρ^c - ρ^f ρ^f; others ½ (ρ_j^f + ρ_j^c) (ρ_i^c - ρ_i^f). In an untied
        one, all measure the free rate times the displacement. `weights` is the share of each
        sample.
        """
