"""Displacements of deep networks, divided by the attenuation of their layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._relaxation.fields import DisplacementField, Field, Origin

#: Bounds and changes of rates use units of at least this size, because the inverse of a smaller one
#: may not fit into float32. A displacement of this size is too small to cross a kink.
SMALLEST_UNIT = 1e-15


@dataclass(frozen=True)
class OriginInUnits(Origin):
    """An origin whose offsets and ranges are divided by the unit a_l of their layer.

    Attributes
    ----------
    units : sequence of float
        a_l of each layer. That of the output is 1.
    """

    units: Sequence[float]

    @classmethod
    def of(cls, origin: Origin, units: Sequence[float]) -> OriginInUnits:
        """Return the origin in these units."""

        def divided(arrays: Sequence[Array | None]) -> list[Array | None]:
            return [
                None if array is None else array * (1 / max(unit, SMALLEST_UNIT))
                for array, unit in zip(arrays, units, strict=True)
            ]

        return cls(
            origin.states,
            divided(origin.offsets),
            divided(origin.lower),
            divided(origin.upper),
            origin.slopes,
            units,
        )

    def each(self, change: Callable[[Array], Array]) -> OriginInUnits:
        changed = super().each(change)
        return replace(self, **vars(changed))


class FieldInUnits(DisplacementField):
    """μ^β(s^0 + d) in the coordinates e_l = d_l / a_l, for layers in a row.

    Feedback shrinks a push by γ_l at every layer, so that d_l has about the size a_l = Π γ_j. In a
    deep network that is too small for float32, whereas e_l has the size of the push. The loops stay
    the same, because F_l counts a_{l-1} / a_l times, and the feedback beside it a_l / a_{l-1}
    times.

    The parameters are those of `DisplacementField`, with an `OriginInUnits`.
    """

    @property
    def units(self) -> Sequence[float]:
        """a_l of each layer."""
        return cast("OriginInUnits", self.origin).units

    def inflow(self, layer: int, signals: Sequence[Any], sources: range) -> Array | None:
        total = None
        for source in (layer - 1, layer + 1):
            if source not in sources:
                continue
            brought = self.network.inflow(layer, signals, range(source, source + 1))
            if brought is not None:
                brought *= self.units[source - 1] / self.units[layer - 1]
                total = self.total(layer, brought, total)
        return total

    def signal(self, layer: int, state: Array) -> Any:
        """The change of the rate, in units of the layer."""
        if self.network.activations[layer - 1].transmits_state:
            return state
        unit = max(self.units[layer - 1], SMALLEST_UNIT)
        change = self.network.rate_change(layer, self.origin.states[layer - 1], unit * state)
        return change * (1 / unit)

    def measured(self, layer: int, size: Array) -> Array:
        """Residual of one layer in units of its scale."""
        size = Field.measured(self, layer, size)
        if self.scales is None:
            return size
        return size * (self.units[layer - 1] / self.scales[layer - 1])
