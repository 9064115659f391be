"""Tiny convolutional networks twice: in the package, and written out as dense matrices."""

import numpy as np

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._network import Conv2D, layered_wiring, layout_of, wired_network
from sklearn_eqprop._relaxation import RELAXATIONS
from sklearn_eqprop._substrates.limits import SettlingLimits
from sklearn_eqprop._substrates.simulated import SimulatedNetwork
from tests.conv_truth import ConvLayer, ConvNet

IN_SHAPE = (7, 6, 2)
#: name -> (hidden layers for the package, the same layers by hand)
STACKS = {
    "max": (
        (Conv2D(3, 2, pool=2), Conv2D(2, 2), 3),
        [
            ConvLayer((7, 6, 2), (6, 5, 3), (2, 2), pool=2),
            ConvLayer((3, 2, 3), (2, 1, 2), (2, 2)),
            None,
        ],
    ),
    "max_max": (
        (Conv2D(2, 2, padding="same"), Conv2D(2, 3, pool=2), 3),
        [
            ConvLayer((7, 6, 2), (7, 6, 2), (2, 2)),
            ConvLayer((7, 6, 2), (5, 4, 2), (3, 3), pool=2),
            None,
        ],
    ),
    "average": (
        (Conv2D(2, 3, padding="same", pool=2, pooling="average"), Conv2D(2, 2, stride=2), 3),
        [
            ConvLayer((7, 6, 2), (7, 6, 2), (3, 3), pad=1, pool=2, average=True),
            ConvLayer((3, 3, 2), (1, 1, 2), (2, 2), stride=2),
            None,
        ],
    ),
}
N_OUTPUTS = 2


def random_conv_net(stack, *, tied=False, activation="relu", gain=0.3, seed=0):
    """A `ConvNet` whose loops are weak enough to settle, with biases that keep units active."""
    rng = np.random.RandomState(seed)
    layers = [*STACKS[stack][1], None]
    coefs, biases, below = [], [], IN_SHAPE
    for layer, width in zip(layers, (None, None, 3, N_OUTPUTS), strict=True):
        shape = (
            (int(np.prod(below)), width)
            if layer is None
            else (*layer.kernel, layer.in_shape[2], layer.out_shape[2])
        )
        draw = rng.standard_normal(shape)
        coefs.append(draw / np.sqrt(np.prod(shape[:-1])))
        biases.append(0.4 + 0.1 * rng.standard_normal(shape[-1]))
        below = (width,) if layer is None else layer.pooled_shape
    feedback = None
    if not tied:
        feedback = []
        for index in (1, 2, 3):
            coef = coefs[index]
            other = rng.standard_normal(coef.shape) / np.sqrt(np.prod(coef.shape[:-1]))
            mixed = gain * (coef + 0.5 * other)
            feedback.append(mixed.T if layers[index] is None else mixed)
    else:
        coefs = [coefs[0], *(0.5 * coef for coef in coefs[1:])]
    return ConvNet(activation, layers, coefs, biases, feedback)


def twin(net, stack):
    """The package's network with the very arrays of a `ConvNet`."""
    wiring = layered_wiring(len(net.layers))
    layout = layout_of(wiring, IN_SHAPE, STACKS[stack][0], N_OUTPUTS)
    return wired_network(
        wiring,
        net.coefs,
        net.biases,
        net.strengths if net.feedback is None else net.feedback,
        activation=net.activation,
        backend=NumpyBackend(),
        layout=layout,
    )


def substrate_of(net, stack, method="gauss_seidel", step_size=1.0, tolerance=1e-13, **measured):
    limits = SettlingLimits(tolerance, tolerance, 5000, 5000)
    return SimulatedNetwork(twin(net, stack), RELAXATIONS[method](step_size), limits, **measured)


def task(n_samples=3, seed=5):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n_samples, int(np.prod(IN_SHAPE))))
    return X, rng.standard_normal((n_samples, N_OUTPUTS))
