"""A simulated analog chip: mismatch, noise, weights of few bits, imperfect updates and drift."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import Loss
from sklearn_eqprop._network import Network, PooledConvolution
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._sklearn_compat import Interval, StrOptions
from sklearn_eqprop._substrates.phases import FreePhase

#: Steps of the two phases per layer, if they are not given.
FREE_STEPS_PER_LAYER, NUDGED_STEPS_PER_LAYER = 10, 6
#: Standard deviation of the exponents of the drift, relative to their mean.
SPREAD_OF_DRIFT = 0.5

_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_STEPS = [None, Interval(Integral, 1, None, closed="left")]


@dataclass(kw_only=True, repr=False)
class AnalogChip(BaseEstimator):
    """A simulated analog chip with faults that the learner does not see.

    It is a value of the parameter `substrate` of an estimator. The chip has the layers and the
    connections of that estimator. Its units are leaky integrators with noise: in every step
    s <- s + ε (slope (drive + offset) - s) + noise (Eq. 77, Scellier et al. 2018, with faults).

    Parameters
    ----------
    mismatch : float, default=0.1
        Standard deviation of the fixed random factor of each synapse, around 1.
    noise : float, default=0.05
        Standard deviation of the noise on each state in each step.
    bits : int or None, default=6
        Bits of a weight, 2 to 30. A weight has 2^bits - 1 levels. None: full precision.
    offsets : float or None, default=None
        Standard deviation of the fixed offset of each unit, relative to `state_scale`. None: that
        of `mismatch`.
    slopes : float or None, default=None
        Standard deviation of the fixed slope of each unit, around 1. None: that of `mismatch`.
    state_scale : float or sequence of float, default=1.0
        Typical size of a state: one number, or one per layer. It is used for the offsets only.
    weight_range : float, sequence of float or 'auto', default='auto'
        Largest weight that a synapse can hold: one number, or one per block of parameters (all
        forward connections, then feedback, then biases). 'auto': the largest weight of the block at
        the time of writing. A real chip can do this with one scale factor per block.
    storage : {'sums', 'nearest', 'stochastic'}, default='sums'
        Where updates add up. 'sums': beside the chip, in full precision; a synapse is written when
        its sum is nearer to another level. 'nearest', 'stochastic': in the synapse itself, which
        rounds each update to the nearest level, or at random. Both need numbers as `weight_range`.
    asymmetry : float, default=0.0
        In [-1, 1]. An update that raises a weight is multiplied by 1 + asymmetry, and one that
        lowers it by 1 - asymmetry. ``storage='sums'`` refuses it.
    saturation : float, default=0.0
        In [0, 1]. An update that moves a weight w away from 0 is multiplied by
        1 - saturation * abs(w) / weight_range. ``storage='sums'`` refuses it.
    drift : float, default=0.0
        Mean exponent ν of the drift: a weight is multiplied by ``age ** -ν``. Each synapse has its
        own ν, which is not negative. The standard deviation is half of the mean.
    age : float, default=1.0
        Time since the synapses were written, at least 1. At 1 nothing has drifted.
    step_size : float, default=0.5
        ε, in (0, 1].
    free_steps, nudged_steps : int or None, default=None
        Steps of a free and of a nudged phase. None: 10 and 6 per layer.
    read_steps : int, default=4
        A state is read as the average over this number of last steps.
    random_state : int or None, default=None
        Seed of the mismatch and the noise. None: another chip in every fit.
    """

    mismatch: float = 0.1
    noise: float = 0.05
    bits: int | None = 6
    offsets: float | None = None
    slopes: float | None = None
    state_scale: Any = 1.0
    weight_range: Any = "auto"
    storage: str = "sums"
    asymmetry: float = 0.0
    saturation: float = 0.0
    drift: float = 0.0
    age: float = 1.0
    step_size: float = 0.5
    free_steps: int | None = None
    nudged_steps: int | None = None
    read_steps: int = 4
    random_state: int | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "mismatch": [_NOT_NEGATIVE],
        "noise": [_NOT_NEGATIVE],
        "bits": [None, Interval(Integral, 2, 30, closed="both")],
        "offsets": [None, _NOT_NEGATIVE],
        "slopes": [None, _NOT_NEGATIVE],
        "state_scale": [_NOT_NEGATIVE, list, tuple],
        "weight_range": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="right"),
            list,
            tuple,
        ],
        "storage": [StrOptions({"sums", "nearest", "stochastic"})],
        "asymmetry": [Interval(Real, -1, 1, closed="both")],
        "saturation": [Interval(Real, 0, 1, closed="both")],
        "drift": [_NOT_NEGATIVE],
        "age": [Interval(Real, 1, None, closed="left")],
        "step_size": [Interval(Real, 0, 1, closed="right")],
        "free_steps": _STEPS,
        "nudged_steps": _STEPS,
        "read_steps": [Interval(Integral, 1, None, closed="left")],
        "random_state": [None, Interval(Integral, 0, None, closed="left")],
    }

    def connect(self, record: Network) -> SimulatedChip:
        """Return a chip with the shape of a network.

        Parameters
        ----------
        record : Network
            The parameters that the learner has set.

        Returns
        -------
        SimulatedChip

        Raises
        ------
        ValueError
            If a parameter is not usable, or if the network pools by the maximum.
        """
        self._validate_params()
        if any(isinstance(each.pool, PooledConvolution) for each in record.forward):
            msg = "The chip has no maximum. Use Conv2D(..., pooling='average')."
            raise ValueError(msg)
        if self.storage == "sums" and (self.asymmetry or self.saturation):
            msg = (
                f"asymmetry={self.asymmetry!r} and saturation={self.saturation!r} have no effect "
                "if updates add up beside the chip. Use storage='stochastic' or 'nearest'."
            )
            raise ValueError(msg)
        if self.storage != "sums" and isinstance(self.weight_range, str):
            msg = f"storage={self.storage!r} needs a weight_range. Use a number, such as 1.0."
            raise ValueError(msg)
        return SimulatedChip(record, self)


@dataclass
class ChipPhase(FreePhase):
    """A free phase of a chip, with the drives and the states at its end."""

    clamped: list[Array]
    last: list[Array]


class SimulatedChip:
    """The chip that `AnalogChip` describes: a `Substrate`.

    Parameters
    ----------
    record : Network
    chip : AnalogChip

    Attributes
    ----------
    network : Network
        The record.
    held : Network
        The network whose parameters the synapses have, with all faults.
    """

    def __init__(self, record: Network, chip: AnalogChip) -> None:
        self.network, self._chip = record, copy.deepcopy(chip)
        self.held = copy.deepcopy(record)
        self._be(chip.random_state)

    def _be(self, seed: int | None) -> None:
        """Draw the faults of the chip with this seed; None: another chip each time."""
        record, chip = self.network, self._chip
        self._seed = np.random.SeedSequence(seed).entropy
        blocks = self._blocks = [parameter.array for parameter in record.parameters()]
        self._ranges = _each("weight_range", chip.weight_range, len(blocks))
        scales = _each("state_scale", chip.state_scale, record.n_layers)
        offsets = chip.mismatch if chip.offsets is None else chip.offsets
        slopes = chip.mismatch if chip.slopes is None else chip.slopes
        rng = self._rng = np.random.default_rng(self._seed)
        self._factors = [_around(rng, 1, chip.mismatch, block.shape) for block in blocks]
        self._slopes = [_around(rng, 1, slopes, size) for size in record.layer_sizes]
        self._offsets = [
            _around(rng, 0, offsets * scale, size)
            for scale, size in zip(scales, record.layer_sizes, strict=True)
        ]
        if chip.drift:
            for factor in self._factors:
                spread = SPREAD_OF_DRIFT * chip.drift
                exponents = _around(rng, chip.drift, spread, factor.shape)
                factor *= float(chip.age) ** -np.maximum(exponents, 0)
        self._stored: list[np.ndarray] = []

    def memory(self) -> dict[str, Any]:
        """Seed of the mismatch, and the state of the noise."""
        return {"seed": self._seed, "noise": self._rng.bit_generator.state}

    def restore(self, memory: dict[str, Any]) -> None:
        """Become the chip that had this memory."""
        self._be(memory["seed"])
        self._rng.bit_generator.state = memory["noise"]

    def settle(self, inputs: Array) -> ChipPhase:
        """Write the record into the synapses, and run from rest."""
        self._write()
        clamped = self.held.clamp(inputs)
        n_steps = self._chip.free_steps or FREE_STEPS_PER_LAYER * self.held.n_layers
        states, last = self._run(clamped, self.held.zero_states(inputs.shape[0]), n_steps)
        return ChipPhase(inputs, _result(states, n_steps), clamped, last)

    def settle_nudged(
        self, free: Any, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Continue from the end of the free phase, once for each strength."""
        results = []
        n_steps = self._chip.nudged_steps or NUDGED_STEPS_PER_LAYER * self.held.n_layers
        for beta in strengths:
            push = (beta, loss, target)
            states, _ = self._run(free.clamped, free.last, n_steps, push)
            moved = [s - s0 for s, s0 in zip(states, free.result.states, strict=True)]
            results.append(_result(moved, n_steps))
        return results

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array | None]:
        """Products of the numbers at both ends of each synapse, summed over the samples."""
        rates = self.held.rates(free.result.states)
        return self.held.local_products(free.inputs, rates, deltas, attenuated=True)

    def slopes(self, free: FreePhase) -> list[Array]:
        """ρ'(s) of each layer at the free states."""
        layers = zip(self.held.activations, free.result.states, strict=True)
        return [activation.slope(np, state) for activation, state in layers]

    def take_update(self) -> None:
        """Move the synapses by the update of the record, as far as they follow; correct the record.

        With 'sums' the record keeps what the synapses cannot follow.
        """
        chip = self._chip
        if chip.storage == "sums":
            return
        for block, stored, largest in zip(self._blocks, self._stored, self._ranges, strict=True):
            step = block - stored
            step *= 1 + chip.asymmetry * np.sign(step)
            step *= 1 - chip.saturation * np.maximum(np.sign(step) * stored / largest, 0)
            random = self._rng.random(block.shape) if chip.storage == "stochastic" else 0.5
            block[...] = _rounded(stored + step, largest, chip.bits, random)
            stored[...] = block

    def _write(self) -> None:
        """Write the nearest levels, times the fixed factors of the synapses, into the chip."""
        bits, levels = self._chip.bits, []
        for block, largest in zip(self._blocks, self._ranges, strict=True):
            reach = float(np.abs(block).max(initial=0)) if largest == "auto" else largest
            levels.append(_rounded(block, reach, bits, 0.5))
        if self._chip.storage != "sums":
            self._stored = levels
            for block, level in zip(self._blocks, levels, strict=True):
                block[...] = level
        if self.network.tied:  # the strengths of feedback are not synapses
            strengths = zip(self.held.feedback_blocks, self.network.feedback_blocks, strict=True)
            for own, given in strengths:
                own[...] = given
        parameters = self.held.parameters()
        for parameter, level, factor in zip(parameters, levels, self._factors, strict=True):
            parameter.array[...] = level * factor

    def _run(
        self,
        clamped: list[Array],
        states: list[Array],
        n_steps: int,
        push: tuple[float, Loss, Array] | None = None,
    ) -> tuple[list[Array], list[Array]]:
        """Take noisy Euler steps; return the mean of the last states, and the final states."""
        held, chip = self.held, self._chip
        layers = range(1, held.n_layers + 1)
        faults = list(zip(self._slopes, self._offsets, clamped, strict=True))
        constant = [slope * (drive + offset) for slope, offset, drive in faults]
        n_read = min(chip.read_steps, n_steps)
        sums = [np.zeros_like(state) for state in states]
        for step in range(n_steps):
            signals = [held.signal(layer, states[layer - 1]) for layer in layers]
            moved = []
            for layer, state in zip(layers, states, strict=True):
                velocity = constant[layer - 1] - state
                inflow = held.inflow(layer, signals, layers)
                if inflow is not None:
                    inflow *= self._slopes[layer - 1]
                    velocity += inflow
                if push is not None and layer == held.n_layers:
                    beta, loss, target = push
                    velocity += beta * loss.force(np, state, target)
                velocity *= chip.step_size
                velocity += state
                if chip.noise:
                    velocity += chip.noise * self._rng.standard_normal(state.shape)
                moved.append(held.project(layer, velocity))
            states = moved
            if step >= n_steps - n_read:
                for total, state in zip(sums, states, strict=True):
                    total += state
        return [total / n_read for total in sums], states


def _rounded(values: Array, largest: float, bits: int | None, shift: Any) -> np.ndarray:
    """Return the nearest of 2^bits - 1 levels; a random shift rounds at random."""
    clipped = np.clip(values, -largest, largest)
    if bits is None or largest == 0:
        return clipped
    gap = largest / (2 ** (bits - 1) - 1)
    return gap * np.floor(clipped / gap + shift)


def _around(rng: np.random.Generator, mean: float, deviation: float, shape: Any) -> np.ndarray:
    return mean + deviation * rng.standard_normal(shape)


def _result(states: list[Array], n_steps: int) -> Result:
    """Return a result without residuals: a noisy chip runs for a fixed time."""
    return Result(states, np.full(states[0].shape[0], n_steps))


def _each(name: str, given: Any, count: int) -> list[Any]:
    values = [given] * count if np.ndim(given) == 0 else list(given)
    if len(values) != count:
        msg = f"{name} has {len(values)} entries, but {count} are needed. Use one number for all."
        raise ValueError(msg)
    return values
