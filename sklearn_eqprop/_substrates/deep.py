"""Deep networks: nudged phases whose displacements no layer attenuates."""

from collections.abc import Sequence
from typing import Any

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses import Loss
from sklearn_eqprop._network import attenuations, feedback_gains
from sklearn_eqprop._relaxation.field_in_units import FieldInUnits, OriginInUnits
from sklearn_eqprop._relaxation.result import Result
from sklearn_eqprop._substrates.phases import FreePhase, Habit
from sklearn_eqprop._substrates.simulated import SimulatedNetwork


class DeepNetwork(SimulatedNetwork):
    """A simulated network of many layers in a row.

    Its displacements are divided by the attenuation of their layer while they settle, not
    afterwards. So they never become too small for float32.

    Only one of five phases is measured, even if the batch is large (see `Habit`). To remove settled
    rows, a measured phase copies the others in every layer. This costs more than a sweep over all.

    The parameters are those of `SimulatedNetwork`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.habits[0] is not None:
            self.habits = [Habit(any_size=True), Habit(any_size=True)]

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Nudged phases of all strengths; displacements divided by `attenuations`."""
        units = attenuations(self.network.wiring, feedback_gains(self.network))
        origin = OriginInUnits.of(self.origin(free), units)
        habit = self.habits[1]
        return self._displace(
            FieldInUnits, free, origin, loss, target, strengths, scaled=True, habit=habit
        )
