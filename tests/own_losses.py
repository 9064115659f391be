"""Losses that users bring, without a `curvature`: kinked, steep, and with outputs that interact."""

import numpy as np


class Separable:
    """A sum over the outputs of `cost`, whose derivative is `slope`."""

    def value(self, output, target):
        return self.cost(output, target).sum(axis=1)

    def derivative(self, output, target):
        return self.slope(output, target).astype(output.dtype)


class Hinge(Separable):
    """One class against the others; the kink is at 1 or -1."""

    def cost(self, s, y):
        return np.maximum(1 - (2 * y - 1) * s, 0)

    def slope(self, s, y):
        return np.where((2 * y - 1) * s < 1, 1 - 2 * y, 0)


class SquaredHinge(Separable):
    def cost(self, s, y):
        return np.maximum(1 - (2 * y - 1) * s, 0) ** 2

    def slope(self, s, y):
        return 2 * (1 - 2 * y) * np.maximum(1 - (2 * y - 1) * s, 0)


class Pinball(Separable):
    """The user guide's own."""

    def __init__(self, quantile=0.9, scale=1.0):
        self.quantile, self.scale = quantile, scale

    def cost(self, s, y):
        return self.scale * np.maximum(self.quantile * (y - s), (self.quantile - 1) * (y - s))

    def slope(self, s, y):
        return self.scale * np.where(s > y, 1 - self.quantile, -self.quantile)


class Insensitive(Separable):
    def cost(self, s, y):
        return np.maximum(np.abs(y - s) - 0.1, 0)

    def slope(self, s, y):
        return np.where(np.abs(y - s) > 0.1, np.sign(s - y), 0)


class Jumps(Separable):
    """The derivative jumps at four places."""

    places = np.array([-1, -0.3, 0.2, 0.8])

    def cost(self, s, y):
        return np.abs((s - y)[:, :, None] - self.places).sum(axis=2)

    def slope(self, s, y):
        return np.sign((s - y)[:, :, None] - self.places).sum(axis=2)


class CurvedWithKink(Separable):
    def cost(self, s, y):
        return 0.5 * (s - y) ** 2 + np.abs(s)

    def slope(self, s, y):
        return s - y + np.sign(s)


class Squared(Separable):
    def __init__(self, scale=1.0):
        self.scale = scale

    def cost(self, s, y):
        return 0.5 * self.scale * (s - y) ** 2

    def slope(self, s, y):
        return self.scale * (s - y)


class LogCosh(Separable):
    def __init__(self, steepness=1.0):
        self.steepness = steepness

    def cost(self, s, y):
        return np.logaddexp(self.steepness * (s - y), self.steepness * (y - s)) / self.steepness

    def slope(self, s, y):
        return np.tanh(self.steepness * (s - y))


class Quartic(Separable):
    def cost(self, s, y):
        return 0.25 * (s - y) ** 4

    def slope(self, s, y):
        return (s - y) ** 3


class Exponential(Separable):
    def cost(self, s, y):
        return np.exp(s) - y * s

    def slope(self, s, y):
        return np.exp(s) - y


class CrossEntropy:
    """Softmax: every output acts on every other."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def value(self, output, target):
        largest = output.max(axis=1)
        log_sum = np.log(np.exp(output - largest[:, None]).sum(axis=1)) + largest
        return self.scale * (log_sum - (target * output).sum(axis=1))

    def derivative(self, output, target):
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        return self.scale * (grown / grown.sum(axis=1, keepdims=True) - target)


class MulticlassHinge:
    """Crammer & Singer (2001): outputs act on each other, and the derivative jumps."""

    def value(self, output, target):
        return self._margins(output, target).max(axis=1)

    def derivative(self, output, target):
        worst = self._margins(output, target).argmax(axis=1)
        return np.eye(output.shape[1], dtype=output.dtype)[worst] - target

    def _margins(self, output, target):
        return 1 - target + output - (target * output).sum(axis=1, keepdims=True)


class Distance:
    """The Euclidean distance. Its only kink is at the target."""

    def value(self, output, target):
        return np.linalg.norm(output - target, axis=1)

    def derivative(self, output, target):
        distance = self.value(output, target)[:, None]
        return (output - target) / np.maximum(distance, np.finfo(output.dtype).tiny)


SEPARABLE = {
    "hinge": Hinge(),
    "squared hinge": SquaredHinge(),
    "pinball": Pinball(),
    "steep pinball": Pinball(scale=1e4),
    "insensitive": Insensitive(),
    "jumps": Jumps(),
    "curved, with a kink": CurvedWithKink(),
    "squared": Squared(),
    "squared, scale 1e4": Squared(1e4),
    "squared, scale 1e9": Squared(1e9),
    "log-cosh": LogCosh(),
    "steep log-cosh": LogCosh(1e3),
    "quartic": Quartic(),
    "exponential": Exponential(),
}
COUPLED = {
    "cross-entropy": CrossEntropy(),
    "cross-entropy, scale 20": CrossEntropy(20),
}
KINKED = ("hinge", "pinball", "steep pinball", "insensitive", "jumps", "curved, with a kink")
