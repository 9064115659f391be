"""A fitted network as a circuit in a file."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._estimators.data.inputs import validated_inputs
from sklearn_eqprop._estimators.fitted.arrays import FittedArrays
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._substrates.hardware.spice import OPTIONS, netlist, states


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
    check_is_fitted(estimator)
    config = Config.of(estimator)
    backend = NumpyBackend()
    X, _ = validated_inputs(estimator, np.reshape(x, (1, -1)), backend)
    network = FittedArrays.of(estimator).network(config, backend)
    outputs = states(network, diode, network.n_layers, network.layer_sizes[-1])
    lines = [
        f"* {type(estimator).__name__}: state of unit j of layer l at node sl_j or rl_j, {outputs}",
        OPTIONS,
        *netlist(network, X[0], diode),
        ".tran 10n 20u uic",
        f".print tran {' '.join(f'v({node})' for node in outputs)}",
        ".end",
    ]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
