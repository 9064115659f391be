"""The network as an analog circuit, which ngspice solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_eqprop._backend.array_backend import Array
from sklearn_eqprop._losses.base import HeldForce, Loss
from sklearn_eqprop._losses.log_loss import LogLoss, MultilabelLogLoss
from sklearn_eqprop._losses.squared_error import SquaredError
from sklearn_eqprop._network import Network, PooledConvolution
from sklearn_eqprop._relaxation import Result
from sklearn_eqprop._sklearn_compat import Interval
from sklearn_eqprop._substrates.hardware.ngspice import library, voltages
from sklearn_eqprop._substrates.phases import FreePhase

#: Resistance of a leak in ohms, and capacitance of a neuron in farads: 1 µs together.
RESISTANCE, CAPACITANCE = 1e4, 1e-10
#: Conductance of an ideal clip, relative to that of the leak. It need not be large, because the
#: state is clipped again when it is read. With larger values ngspice does not converge.
STEEP = 1e3
#: Rates, and currents that push an output towards its target.
RATES = {
    "tanh": "tanh(v({node}))",
    "logistic": "0.5*(1+tanh(0.5*v({node})))",
    "relu": "max(v({node}),0)",
    "hard_sigmoid": "min(max(v({node}),0),1)",
}
FORCES: dict[type[Loss], str] = {
    SquaredError: "{target}-v({node})",
    LogLoss: "{target}-1/({grown})",
    MultilabelLogLoss: "{target}-0.5*(1+tanh(0.5*v({node})))",
    HeldForce: "{target}",
}
OPTIONS = ".options reltol=1e-9 abstol=1e-17 vntol=1e-11 gmin=1e-15 itl1=500 itl2=500"


@dataclass(kw_only=True, repr=False)
class SpiceCircuit(BaseEstimator):
    """The network as an analog circuit, which the simulator ngspice solves.

    It is a value of the parameter `substrate` of an estimator. Each neuron is a node with a
    capacitor and a leak, and its voltage is the state. Each weight is a current source that a
    voltage controls. Diodes or ideal sources keep the states in the range of the activation. The
    inputs and the biases are a current into each neuron. The nudge is a current into each output;
    the voltages of the outputs control it. ngspice finds the operating points of all rows of a
    minibatch in one sweep.

    Parameters
    ----------
    diode : float or None, default=None
        Emission coefficient N of the diodes, > 0. A real diode has 1, and lets a state fall to
        about -0.6 V. None: ideal sources, which clip exactly.

    Notes
    -----
    The circuit needs the shared library of ngspice (Debian: ``apt install libngspice0``), and the
    loss 'squared_error' or 'log_loss'. Convolutions may pool by the average only. Otherwise ``fit``
    raises a `SubstrateError`.
    """

    diode: float | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "diode": [None, Interval(Real, 0, None, closed="neither")]
    }

    def connect(self, record: Network) -> SolvedCircuit:
        """Return a circuit with the shape of a network.

        Parameters
        ----------
        record : Network
            The parameters that the learner has set.

        Returns
        -------
        SolvedCircuit

        Raises
        ------
        ValueError
            If a parameter is not usable, or if the network pools by the maximum.
        OSError
            If ngspice is not installed.
        """
        self._validate_params()
        library()
        if any(isinstance(each.pool, PooledConvolution) for each in record.forward):
            msg = "The circuit has no maximum. Use Conv2D(..., pooling='average')."
            raise ValueError(msg)
        return SolvedCircuit(record, self.diode)


class SolvedCircuit:
    """The circuit that `SpiceCircuit` describes: a `Substrate`.

    Parameters
    ----------
    record : Network
    diode : float or None
    """

    def __init__(self, record: Network, diode: float | None) -> None:
        self.network, self._diode = record, diode
        self._lines: list[str] = []

    def settle(self, inputs: Array) -> FreePhase:
        """Find the operating point without a push."""
        self._lines = neurons(self.network, self._diode)
        drives = zip(self.network.clamp(inputs), self.network.layer_sizes, strict=True)
        for layer, (drive, size) in enumerate(drives, start=1):
            currents = np.broadcast_to(drive, (inputs.shape[0], size)) / RESISTANCE
            self._lines += [
                f"bi{layer}_{unit} 0 s{layer}_{unit} i={_of_rows(column)}"
                for unit, column in enumerate(currents.T)
            ]
        return FreePhase(inputs, self._solved(self._lines, inputs.shape[0]))

    def settle_nudged(
        self, free: FreePhase, loss: Loss, target: Array, strengths: Sequence[float]
    ) -> list[Result]:
        """Find the operating points with the push, which is a part of the circuit."""
        results, network = [], self.network
        outputs = states(network, self._diode, network.n_layers, target.shape[1])
        for beta in strengths:
            lines = self._lines + nudge(loss, target, beta, outputs)
            nudged = self._solved(lines, target.shape[0])
            pairs = zip(nudged.states, free.result.states, strict=True)
            results.append(Result([state - rest for state, rest in pairs]))
        return results

    def local_change(self, free: FreePhase, deltas: Sequence[Array]) -> list[Array | None]:
        """Products of the rates and the deltas, summed over the samples."""
        rates = self.network.rates(free.result.states)
        return self.network.local_products(free.inputs, rates, deltas, attenuated=True)

    def slopes(self, free: FreePhase) -> list[Array]:
        """ρ'(s) of each layer at the free states."""
        layers = zip(self.network.activations, free.result.states, strict=True)
        return [activation.slope(np, state) for activation, state in layers]

    def _solved(self, lines: list[str], n_rows: int) -> Result:
        sizes = self.network.layer_sizes
        nodes = every_state(self.network, self._diode)
        circuit = ["* network", OPTIONS, "vrow row 0 0", *lines, ".end"]
        found = voltages(circuit, f"dc vrow 0 {n_rows - 1} 1", nodes, n_rows)
        return Result(np.split(found, np.cumsum(sizes)[:-1], axis=1))


def netlist(network: Network, x: np.ndarray, diode: float | None) -> list[str]:
    """Return the lines of a whole network, with a voltage for each input of one sample."""
    lines = [f"vx{unit} x{unit} 0 {value:.17g}" for unit, value in enumerate(x)]
    inputs = [f"x{unit}" for unit in range(x.size)]
    for connection in network.forward:
        if connection.source == 0:
            lines += synapses(connection, inputs)
    no_input = network.clamp(np.zeros((1, x.size), dtype=network.dtype))
    for layer, (drive, size) in enumerate(zip(no_input, network.layer_sizes, strict=True), 1):
        currents = np.broadcast_to(drive, (1, size))[0] / RESISTANCE
        lines += [f"i{layer}_{j} 0 s{layer}_{j} {bias:.17g}" for j, bias in enumerate(currents)]
    return lines + neurons(network, diode)


def states(network: Network, diode: float | None, layer: int, size: int) -> list[str]:
    """Return the nodes whose voltages are the states of a layer."""
    rho = network.activations[layer - 1]
    kind = "r" if diode is None and _is_clipped(rho) else "s"
    return [f"{kind}{layer}_{unit}" for unit in range(size)]


def every_state(network: Network, diode: float | None) -> list[str]:
    """Return the nodes whose voltages are the states of all layers."""
    sizes = enumerate(network.layer_sizes, start=1)
    return [node for layer, size in sizes for node in states(network, diode, layer, size)]


def _is_clipped(rho: Any) -> bool:
    return rho.lower is not None or rho.upper is not None


def neurons(network: Network, diode: float | None) -> list[str]:
    """Return the lines of all neurons, and of the connections between them."""
    lines = [f".model clip d(is=1e-14 n={diode})"] if diode is not None else []
    for layer, (size, rho) in enumerate(
        zip(network.layer_sizes, network.activations, strict=True), start=1
    ):
        for unit in range(size):
            name, node = f"{layer}_{unit}", f"s{layer}_{unit}"
            lines += [f"r{name} {node} 0 {RESISTANCE:g}", f"c{name} {node} 0 {CAPACITANCE:g}"]
            lines += _clips(name, node, rho.lower, rho.upper, diode)
            if not rho.transmits_state or (diode is None and _is_clipped(rho)):
                lines.append(f"br{name} r{name} 0 v={RATES[rho.name].format(node=node)}")
    for connection in (*network.forward, *network.feedback):
        if connection.source > 0:
            source = connection.source
            nodes = states(network, diode, source, connection.n_source)
            if not network.activations[source - 1].transmits_state:
                nodes = [f"r{node[1:]}" for node in nodes]
            lines += synapses(connection, nodes)
    return lines


def synapses(connection: Any, sources: Sequence[str]) -> list[str]:
    """Return the lines of the weights of a connection, which the voltages of `sources` control."""
    weights = connection.apply(np.eye(connection.n_source)) / RESISTANCE
    target = f"s{connection.target}_"
    kind = f"g{connection.source}_{connection.target}_"
    return [
        f"{kind}{i}_{j} 0 {target}{j} {sources[i]} 0 {weights[i, j]:.17g}"
        for i, j in zip(*np.nonzero(weights), strict=True)
    ]


def nudge(loss: Loss, target: np.ndarray, beta: float, outputs: Sequence[str]) -> list[str]:
    """Return the lines of currents β force into the outputs, which have these nodes.

    Raises
    ------
    ValueError
        If there is no circuit for the force of this loss.
    """
    if type(loss) not in FORCES:
        msg = f"There is no circuit for {type(loss).__name__}. Use loss='squared_error'."
        raise ValueError(msg)
    lines = []
    for node, column in zip(outputs, target.T, strict=True):
        grown = "1"
        if isinstance(loss, LogLoss):
            # Differences: exponentials of the outputs would give ngspice false solutions.
            others = [other for other in outputs if other != node]
            grown = "+".join(["1", *(f"exp(min(v({other})-v({node}),50))" for other in others)])
        force = FORCES[type(loss)].format(node=node, target=_of_rows(column), grown=grown)
        lines.append(f"bn{node} 0 s{node[1:]} i={beta / RESISTANCE:.17g}*({force})")
    return lines


def _clips(
    name: str, node: str, lower: float | None, upper: float | None, diode: float | None
) -> list[str]:
    """Return the lines that keep a state in the range of its activation."""
    lines, steep = [], STEEP / RESISTANCE
    if diode is None:
        if lower is not None:
            lines.append(f"bl{name} {node} 0 i={steep:g}*min(v({node})-{lower:g},0)")
        if upper is not None:
            lines.append(f"bu{name} {node} 0 i={steep:g}*max(v({node})-{upper:g},0)")
        return lines
    if lower is not None:
        lines += [f"vl{name} l{name} 0 {lower:g}", f"dl{name} l{name} {node} clip"]
    if upper is not None:
        lines += [f"vu{name} u{name} 0 {upper:g}", f"du{name} {node} u{name} clip"]
    return lines


def _of_rows(column: np.ndarray) -> str:
    """Return a number for each row, as a function of the voltage that counts the rows."""
    if (column == column[0]).all():
        return f"({column[0]:.17g})"
    points = ", ".join(f"{row}, {value:.17g}" for row, value in enumerate(column))
    return f"pwl(v(row), {points})"
