"""A fitted network as a circuit in a file."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.data.inputs import validated_inputs
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._substrates.hardware.ngspice import voltages
from sklearn_eqprop._substrates.hardware.spice import (
    CAPACITANCE,
    OPTIONS,
    RESISTANCE,
    every_state,
    netlist,
)

#: RC in seconds, and the duration of a transient in microseconds, which are time constants.
TIME_CONSTANT, DURATION = RESISTANCE * CAPACITANCE, 20


def to_spice(estimator: Any, path: Any, x: Any, *, diode: float | None = None) -> None:
    """Write a fitted network as a circuit that ngspice simulates on its own.

    The input voltages are those of one sample. ``ngspice -b PATH`` lets the circuit settle from
    rest for 20 time constants (1 µs each), and prints the output.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        It is fitted. Max pooling is not possible.
    path : str or Path
        The file.
    x : array-like of shape (n_features,)
        One sample.
    diode : float or None, default=None
        Emission coefficient of the diodes, see `SpiceCircuit`. None: ideal sources.
    """
    lines, nodes = _circuit(estimator, x, diode)
    outputs = nodes[len(nodes) - estimator.n_outputs_ :]
    title = f"* {type(estimator).__name__}: the state of unit j of layer l is the voltage of sl_j"
    printed = " ".join(f"v({node})" for node in outputs)
    text = [f"{title} or rl_j", *lines, f".tran 10n {DURATION}u uic", f".print tran {printed}"]
    Path(path).write_text("\n".join([*text, ".end"]) + "\n", encoding="utf-8")


def spice_transient(
    estimator: Any, x: Any, *, diode: float | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Let the circuit of a fitted network settle from rest, as ngspice computes it in time.

    Parameters
    ----------
    estimator : EqPropClassifier or EqPropRegressor
        It is fitted. Max pooling is not possible.
    x : array-like of shape (n_features,)
        One sample.
    diode : float or None, default=None
        Emission coefficient of the diodes, see `SpiceCircuit`. None: ideal sources.

    Returns
    -------
    times : ndarray of shape (n_times,)
        In time constants RC, the unit of time of the vector field.
    states : list of ndarray of shape (n_times, n_units)
        One per layer 1..L.
    """
    lines, nodes = _circuit(estimator, x, diode)
    circuit = ["* transient", *lines, ".end"]
    found = voltages(circuit, f"tran 10n {DURATION}u uic", ["time", *nodes])
    ends = np.cumsum(FittedArrays.of(estimator).layout.sizes[1:-1])
    return found[:, 0] / TIME_CONSTANT, np.split(found[:, 1:], ends, axis=1)


def _circuit(estimator: Any, x: Any, diode: float | None) -> tuple[list[str], list[str]]:
    """Return the lines of a circuit without an analysis, and the nodes of all states."""
    check_is_fitted(estimator)
    config, backend = Config.of(estimator), NumpyBackend()
    X, _ = validated_inputs(estimator, np.reshape(x, (1, -1)), backend)
    network = FittedArrays.of(estimator).network(config, backend)
    return [OPTIONS, *netlist(network, X[0], diode)], every_state(network, diode)
