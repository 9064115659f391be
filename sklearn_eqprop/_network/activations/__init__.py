"""Activations: the rate ρ(s) that a unit transmits, by the name the user chooses it by."""

from sklearn_eqprop._network.activations.base import Activation
from sklearn_eqprop._network.activations.piecewise import HardSigmoid, Identity, ReLU
from sklearn_eqprop._network.activations.smooth import Logistic, Tanh

#: Every activation by its name. To add one, write a subclass of `Activation` and list it here.
ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        HardSigmoid(),
        ReLU(),
        Tanh(),
        Logistic(),
        Identity(),
    )
}
