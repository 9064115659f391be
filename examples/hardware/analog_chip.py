"""
===================================
A simulated analog chip with faults
===================================

A hand-written substrate: a class with the three methods that the learner calls. The example
:ref:`sphx_glr_auto_examples_hardware_plot_analog_substrate.py` trains it.
"""

from typing import NamedTuple

import numpy as np

from sklearn_eqprop.learning import FreePhase, Result


class Faults(NamedTuple):
    """The faults of a chip (none by default): four standard deviations, and a number of bits."""

    synapses: float = 0.0  # of the fixed factor of each weight, around 1
    offsets: float = 0.0  # of the fixed offset of each unit's drive, relative to `Scales.states`
    slopes: float = 0.0  # of the fixed slope of each unit's activation, around 1
    noise: float = 0.0  # of the noise on every state in every step
    bits: int | None = None  # per weight; None: full precision


class Scales(NamedTuple):
    """The largest weights and the sizes of states for which a chip is made."""

    weights: tuple[float, ...] = (np.inf,) * 5  # largest value of each block of parameters
    states: tuple[float, float] = (0.0, 0.0)  # unit of the offsets in each layer


class AnalogChip:
    """One hidden layer in noisy analog hardware: a `Substrate` with only the required methods.

    Parameters
    ----------
    record : Network
        The parameters that the learner has set. The chip reads and rounds them when it settles.
    scales : Scales
    faults : Faults
    seed : int
        Seed of the mismatch and the noise of this chip.
    storage : {'accumulator', 'nearest', 'stochastic'}
        'accumulator': the record keeps full precision. Otherwise the record is rounded after every
        update, to the nearest level or stochastically.
    """

    free_steps, nudged_steps, read_steps, step_size = 20, 12, 4, 0.5

    def __init__(self, record, scales, faults, seed, storage="accumulator"):
        self._rng = np.random.default_rng(seed)
        self._blocks = [parameter.array for parameter in record.parameters()]
        self._scales, self._faults, self._storage = scales, faults, storage
        self._factors = [self._around(1, faults.synapses, b.shape) for b in self._blocks]
        sizes = [biases.size for biases in self._blocks[-2:]]
        self._slopes = [self._around(1, faults.slopes, size) for size in sizes]
        self._offsets = [
            self._around(0, faults.offsets * scale, size)
            for scale, size in zip(scales.states, sizes, strict=True)
        ]

    def settle(self, inputs):
        """Run the free phase, from rest."""
        self._read_record()
        F1, _, _, b1, b2 = self._weights
        self._input_drive = inputs @ F1 + b1
        rest = np.zeros_like(self._input_drive), np.zeros((inputs.shape[0], len(b2)))
        states, self._momentary = self._run(rest, self.free_steps, push=None)
        return FreePhase(inputs, self._result(states, self.free_steps))

    def settle_nudged(self, free, loss, target, strengths):
        """Continue from the free states, once for each strength, with the outputs pushed."""
        results = []
        for beta in strengths:
            states, _ = self._run(
                self._momentary,
                self.nudged_steps,
                push=lambda output, beta=beta: beta * loss.force(np, output, target),
            )
            moved = [s - s0 for s, s0 in zip(states, free.result.states, strict=True)]
            results.append(self._result(moved, self.nudged_steps))
        return results

    def local_change(self, free, deltas):
        """Return for each synapse the product of the numbers at its ends, summed over samples."""
        hidden, output = free.result.states
        weights = free.inputs.T @ deltas[0], hidden.T @ deltas[1], output.T @ deltas[0]
        return [*weights, *(delta.sum(axis=0) for delta in deltas)]

    def _read_record(self):
        """Set the chip's weights: one of 2^bits - 1 levels each, times a fixed factor."""
        held = [
            self._rounded(block, largest)
            for block, largest in zip(self._blocks, self._scales.weights, strict=True)
        ]
        if self._storage != "accumulator":
            for block, levels in zip(self._blocks, held, strict=True):
                block[...] = levels
        self._weights = [w * factors for w, factors in zip(held, self._factors, strict=True)]

    def _rounded(self, block, largest):
        if self._faults.bits is None:
            return block
        gap = largest / (2 ** (self._faults.bits - 1) - 1)
        shift = self._rng.random(block.shape) if self._storage == "stochastic" else 0.5
        return gap * np.floor(np.clip(block, -largest, largest) / gap + shift)

    def _run(self, start, n_steps, push):
        """Take noisy Euler steps; return the mean of the last states, and the final states."""
        _, F2, B, _, b2 = self._weights
        (slope1, slope2), (offset1, offset2) = self._slopes, self._offsets
        hidden_drive, output_drive = slope1 * (self._input_drive + offset1), slope2 * (b2 + offset2)
        F2, B = slope2 * F2, slope1 * B
        hidden, output = start
        sums = [0.0, 0.0]
        for step in range(n_steps):
            to_hidden = hidden_drive + output @ B - hidden
            to_output = output_drive + hidden @ F2 - output
            if push is not None:
                to_output += push(output)
            hidden = np.maximum(hidden + self.step_size * to_hidden + self._noise(hidden), 0)
            output = output + self.step_size * to_output + self._noise(output)
            if step >= n_steps - self.read_steps:
                sums = [sums[0] + hidden, sums[1] + output]
        return [total / self.read_steps for total in sums], (hidden, output)

    def _around(self, mean, deviation, shape):
        return mean + deviation * self._rng.standard_normal(shape)

    def _noise(self, states):
        return self._around(0, self._faults.noise, states.shape) if self._faults.noise else 0.0

    @staticmethod
    def _result(states, n_steps):
        """Return a `Result` without residuals: a noisy system runs for a fixed time."""
        n = len(states[0])
        return Result(states, np.full(n, n_steps), np.zeros(n), np.ones(n, bool))
