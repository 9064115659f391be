"""Activations: the rate ρ(s) that a unit transmits, by the name the user chooses it by.

To add one, write a file with a subclass of `Activation` and import the class below.
"""

from sklearn_eqprop._network.activations.base import Activation
from sklearn_eqprop._network.activations.piecewise import HardSigmoid, Identity, ReLU
from sklearn_eqprop._network.activations.smooth import Logistic, Tanh
from sklearn_eqprop._registry import named_classes

#: Every activation by its name.
ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation() for activation in named_classes(Activation, globals())
}
