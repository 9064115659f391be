"""A check of hardware before it is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from sklearn_eqprop._backend import NumpyBackend, ignoring_float_errors
from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._network import (
    LoopGainGuard,
    Network,
    initial_weights,
    layered_wiring,
    wired_network,
)
from sklearn_eqprop._relaxation import GaussSeidel
from sklearn_eqprop._sklearn_compat import type_of_target
from sklearn_eqprop._substrates.hardware.connected import ConnectedHardware
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.phases import FreePhase
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop.exceptions import SubstrateError

#: Largest number of rows that settle, and the strength of the nudge.
MOST_ROWS, BETA = 100, 0.2
#: Rows that also settle alone.
ROWS_ALONE = 5
#: The network that is checked has larger weights and stronger loops than an untrained one, so that
#: nudges reach every layer.
FORWARD_SCALE, FEEDBACK_SCALE, LOOP_GAIN = 3.0, 1.0, 0.5
#: Displacements of the output follow the force if their cosine is at least this.
ALIKE = 0.2
#: Free states follow those of the simulated network if the correlation over the rows is at least
#: this share of that of two runs of the hardware. Mismatch of 30 % leaves more.
CORRELATED = 0.3
#: A displacement has arrived if it is at least this share of the simulated one.
ARRIVED = 0.1
#: Local changes follow the rates if their cosine with the products is at least this.
FOLLOWING = 0.8
#: Relative change of the states if other rows are in the batch, beyond what noise explains.
BATCH_EFFECT = 0.05
#: Tolerance and most sweeps of the simulated network.
EXACT = SettlingLimits(1e-10, 1e-10, 500, 500)


@ignoring_float_errors
def check_substrate(
    hardware: Any,
    X: Any,
    y: Any,
    *,
    hidden_layer_sizes: Sequence[int] = (10,),
    activation: str = "relu",
    random_state: int = 0,
) -> None:
    """Check hardware before it is trained.

    A network with random weights settles on the hardware, freely and nudged by the squared error.
    The check compares states, displacements and local changes with those of the simulated network
    with the same weights. Noise and mismatch of a usual size are no faults. If the check finds no
    fault, it returns None. The hardware connects once.

    Parameters
    ----------
    hardware : Hardware
        The value for the parameter `substrate` of an estimator.
    X : array-like of shape (n_samples, n_features)
        Inputs as for training, so scale their columns. The first 100 rows settle.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels or numbers, as for training.
    hidden_layer_sizes : sequence of int, default=(10,)
        Units of the hidden layers.
    activation : str, default='relu'
        Activation of the hidden units.
    random_state : int, default=0
        Seed of the weights.

    Raises
    ------
    SubstrateError
        If a call fails, or if the check finds a fault. The message has a line for each fault: what
        happened, the value, and what to do.
    """
    X = check_array(X, dtype=np.float64)[:MOST_ROWS]
    target = _target(y)[:MOST_ROWS]
    sizes = (X.shape[1], *hidden_layer_sizes, target.shape[1])
    connected = ConnectedHardware(hardware)
    record = connected.place(_network(sizes, activation, random_state))
    rng = np.random.default_rng(random_state)
    findings = list(_Examination(connected, record, X, target, rng).findings())
    if findings:
        lines = "\n".join(f"* {finding}" for finding in findings)
        msg = f"{hardware!r} does not do what the learner asks for:\n{lines}"
        raise SubstrateError(msg)


def _target(y: Any) -> np.ndarray:
    y = np.asarray(y)
    if y.ndim == 1 and type_of_target(y) in ("binary", "multiclass"):
        labels, which = np.unique(y, return_inverse=True)
        return np.eye(labels.size)[which]
    y = y.reshape(y.shape[0], -1).astype(np.float64)
    spread = y.std(axis=0)
    return (y - y.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _network(sizes: Sequence[int], activation: str, seed: int) -> Network:
    wiring, rng = layered_wiring(len(sizes) - 1), np.random.RandomState(seed)
    coefs, biases, feedback = initial_weights(
        sizes,
        wiring,
        feedback_init="transpose",
        feedback_scale=FEEDBACK_SCALE,
        rng=rng,
        dtype=np.float64,
    )
    for coef in coefs:
        coef *= FORWARD_SCALE
    for bias in biases:
        bias += 0.3 * rng.standard_normal(bias.shape)
    network = wired_network(
        wiring, coefs, biases, feedback, activation=activation, backend=NumpyBackend()
    )
    LoopGainGuard(network, LOOP_GAIN).enforce()
    return network


@dataclass
class _Examination:
    """The measurements of one check, and what is wrong with them."""

    hardware: ConnectedHardware
    record: Network
    X: np.ndarray
    target: np.ndarray
    rng: np.random.Generator

    def findings(self) -> Iterator[str]:
        """Yield a message for each fault."""
        self.simulated = SimulatedNetwork(self.record, GaussSeidel(1.0), EXACT)
        yield from self._of_batches()
        yield from self._of_free_states()
        yield from self._of_nudges()
        yield from self._of_changes()
        yield from self._of_new_weights()

    def _of_batches(self) -> Iterator[str]:
        """States must not depend on the rows that settle together."""
        states, again = (np.hstack(self._settle(self.X).result.states) for _ in range(2))
        rows = [self.X[row : row + 1] for row in range(min(ROWS_ALONE, self.X.shape[0]))]
        alone = np.vstack([np.hstack(self._settle(row).result.states) for row in rows])
        turned = np.hstack(self._settle(self.X[::-1]).result.states)[::-1]
        noise = _size(again - states)
        effect = max(_size(alone - states[: len(alone)]), _size(turned - states))
        allowed = 2 * noise + BATCH_EFFECT * _size(states)
        if effect > allowed:
            yield (
                f"States of the same rows differ by {effect:.2g} if other rows, or rows in another "
                f"order, are in the batch (repeated: {noise:.2g}). Settle each row on its own: no "
                "statistics of the batch, and no common stop."
            )

    def _of_free_states(self) -> Iterator[str]:
        """Free states must resemble those of the simulated network."""
        phases = (self._settle(self.X), self._settle(self.X), self.simulated.settle(self.X))
        for layer, states in enumerate(
            zip(*(each.result.states for each in phases), strict=True), start=1
        ):
            state, again, other = (each - each.mean(axis=0) for each in states)
            correlation, repeated = _cosine(state, other), _cosine(state, again)
            if correlation < CORRELATED * repeated:
                yield (
                    f"Free states of layer {layer} do not follow those of the simulated network: "
                    f"correlation {correlation:.2f} over the rows. Set the weights to "
                    "those of the record in settle, with "
                    f"activation {self.record.activations[layer - 1].name!r} in this layer."
                )

    def _of_nudges(self) -> Iterator[str]:
        """Displacements must be small, towards the target, and grow with β."""
        loss, layers = SquaredError(), range(self.record.n_layers)
        free, afresh = self._settle(self.X), self._settle(self.X)
        arguments = (loss, self.target)
        exact = self.simulated.settle_nudged(self.simulated.settle(self.X), *arguments, [BETA])[0]
        strengths = (BETA, 2 * BETA, -BETA) if self.hardware.pushes_away else (BETA, 2 * BETA)
        nudged = [
            result.states for result in self.hardware.settle_nudged(free, *arguments, strengths)
        ]
        again = self.hardware.settle_nudged(afresh, *arguments, [BETA])[0].states
        moved, twice = nudged[0][-1], nudged[1][-1]
        output, wanted = free.result.states[-1], exact.states[-1]
        others = min(_size(moved - wanted), _size(moved + wanted))
        if _size(moved - output - wanted) < others and _cosine(moved, output) > ALIKE:
            yield (
                "settle_nudged returns the states themselves (cosine "
                f"{_cosine(moved, output):.2f} with the free output). Subtract the free states: "
                "Result holds displacements."
            )
            return
        force = loss.force(np, output, self.target)
        cosine = _cosine(moved, force)
        if cosine < ALIKE:
            yield (
                f"With beta={BETA} the output moves along the force with cosine {cosine:.2f} "
                "instead of about 1. Add beta * loss.force(np, output, target) to the velocity of "
                "the output, with a plus."
            )
            return
        if self.hardware.pushes_away:
            cosine = _cosine(nudged[2][-1], force)
            if cosine > -ALIKE:
                yield (
                    f"With beta={-BETA} the output moves along the force with cosine {cosine:.2f} "
                    "instead of about -1. Push away from the target if beta < 0, or set "
                    "pushes_away = False."
                )
        # Products of different runs, so that noise does not add up.
        growth = float((twice * again[-1]).sum() / (again[-1] * moved).sum())
        usual = 2 * (1 + BETA) / (1 + 2 * BETA)
        if abs(growth - 1) < 0.3 * (usual - 1):
            yield (
                f"Twice the beta moves the output by a factor of {growth:.2f} instead of about "
                f"{usual:.2f}. Multiply the force with the beta of each phase."
            )
        for layer in layers[:-1]:
            expected = exact.states[layer]
            arrived = (0.5 * (nudged[0][layer] + again[layer]) * expected).sum(axis=1)
            sizes = (expected**2).sum(axis=1)
            share = float(arrived.sum() / sizes.sum())
            error = float(np.linalg.norm(arrived - share * sizes) / sizes.sum())
            if share < ARRIVED and error < ARRIVED / 3:  # a larger error may hide the nudge
                yield (
                    f"The nudge moves layer {layer + 1} by {share:.2f} times as much as the "
                    "simulated network. Let the output drive this layer by the feedback weights in "
                    "nudged phases, too."
                )

    def _of_changes(self) -> Iterator[str]:
        """Local changes must be the products of rates and deltas, in the order of the record."""
        free, record = self._settle(self.X), self.record
        deltas = [self.rng.standard_normal(state.shape) for state in free.result.states]
        changes = self.hardware.local_change(free, [delta.copy() for delta in deltas])
        rates = record.rates(free.result.states)
        products: list[Any] = record.local_products(self.X, rates, deltas)
        for index, (change, block) in enumerate(zip(changes, record.parameters(), strict=True)):
            if change is None:
                continue
            cosine = _cosine(change, products[index])
            name = f"local_change, block {index} ({block.role} into layer {block.layer})"
            if cosine < FOLLOWING:
                yield f"{name}: {self._about(change, products, index, cosine)}"
                continue
            factor = float((change * products[index]).sum() / (products[index] ** 2).sum())
            if not 0.5 < factor < 2:
                yield (
                    f"{name}: the changes are {factor:.2g} times the sums of rate times delta. "
                    "Add the products of all samples, without a mean and without another factor."
                )

    @staticmethod
    def _about(change: Array, products: Sequence[Any], index: int, cosine: float) -> str:
        """Return what is wrong with a change that is not parallel to its product."""
        if cosine < -FOLLOWING:
            return f"the cosine with rate times delta is {cosine:.2f}. Turn the sign around."
        for other, product in enumerate(products):
            for turned in (product, product.T):
                found = turned.shape == change.shape and _cosine(change, turned) > FOLLOWING
                if found and not (other == index and turned is product):
                    return (
                        f"this is the change of block {other}, perhaps transposed. Return the "
                        "changes in the order and shapes of Network.parameters()."
                    )
        return (
            f"the cosine with rate times delta is {cosine:.2f}. Multiply the rate of the source at "
            "the free states with the delta of the target, for each weight."
        )

    def _of_new_weights(self) -> Iterator[str]:
        """States must follow when the learner changes the record."""
        before = self._settle(self.X).result.states[-1]
        shift = 1 + 3 * float(np.abs(before).max())
        self.record.biases[-1][...] += shift
        moved = float((self._settle(self.X).result.states[-1] - before).mean())
        self.record.biases[-1][...] -= shift
        if moved < 0.3 * shift:
            yield (
                f"The learner has added {shift:.2g} to the biases of the output, but the output "
                f"moved by {moved:.2g}. Read record.parameters() in every call of settle."
            )

    def _settle(self, rows: np.ndarray) -> FreePhase:
        return self.hardware.settle(rows.copy())


def _size(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


def _cosine(one: Array, other: Array) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / norm if norm > 0 else 0.0
