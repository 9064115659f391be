"""Descriptions of hardware for tests: the simulated network as hardware, and broken ones."""

from dataclasses import dataclass, replace

import numpy as np

from sklearn_eqprop._relaxation import GaussSeidel
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from sklearn_eqprop.substrates import Result

TIGHT = SettlingLimits(1e-12, 1e-12, 500, 500, literal=False)


@dataclass(frozen=True)
class Simulated:
    """The package's own simulated network, settled closely, with the three verbs only."""

    fault: str = ""

    def connect(self, record):
        return Verbs(record, self.fault)


class Verbs:
    """Passes the verbs on to a simulated network, with one fault; counts the calls."""

    def __init__(self, record, fault=""):
        self.record, self.fault = record, fault
        self.n_settled = 0
        self.simulated = SimulatedNetwork(record, GaussSeidel(1.0), TIGHT, attenuated=True)
        self.first = [parameter.array.copy() for parameter in record.parameters()]

    def settle(self, inputs):
        self.n_settled += 1
        if self.fault == "batch":
            inputs = inputs - inputs.mean(axis=0)
        if self.fault == "other weights":
            inputs = inputs[:, ::-1] ** 2
        if self.fault == "weights once":
            for parameter, array in zip(self.record.parameters(), self.first, strict=True):
                parameter.array[...] = array
        return self.simulated.settle(inputs)

    def settle_nudged(self, free, loss, target, strengths):
        strengths = list(strengths)
        if self.fault == "sign":
            strengths = [-beta for beta in strengths]
        if self.fault == "ignores beta":
            strengths = [0.3 * np.sign(beta) for beta in strengths]
        if self.fault == "one direction":
            strengths = [abs(beta) for beta in strengths]
        results = self.simulated.settle_nudged(free, loss, target, strengths)
        if self.fault == "absolute":
            return [self._with(result, free.result.states) for result in results]
        if self.fault == "output only":
            return [
                replace(r, states=[0 * state for state in r.states[:-1]] + r.states[-1:])
                for r in results
            ]
        return results

    def local_change(self, free, deltas):
        changes = self.simulated.local_change(free, deltas)
        n_forward = len(self.record.forward)
        if self.fault == "biases turned around":
            changes[-2:] = changes[:-3:-1]
        if self.fault == "transposed":
            changes[n_forward] = changes[n_forward].T
        if self.fault == "swapped":
            changes[1], changes[n_forward] = changes[n_forward], changes[1]
        if self.fault == "mean":
            changes = [change / len(free.inputs) for change in changes]
        if self.fault == "no rates":
            changes[1] = np.ones((changes[1].shape[0], 1)) * deltas[1].sum(axis=0)
        if self.fault == "sign of changes":
            changes = [-change for change in changes]
        return changes

    @staticmethod
    def _with(result, states):
        moved = [d + s for d, s in zip(result.states, states, strict=True)]
        return Result(moved)
