"""Every loss, two of a user's own among them: tasks, and what the dense system says of them.

The truth about all costs comes at the price of one: the free phase knows of no cost, so that all
share its equilibria, also those of the networks whose parameters are moved.
"""

import numpy as np

from sklearn_eqprop._losses.user_loss import WrappedLoss
from sklearn_eqprop._rules.base import Minibatch
from sklearn_eqprop._rules.continual import ContinualRule
from sklearn_eqprop._rules.vector_field import NUDGINGS
from tests import dense_truth, engine


class Distance:
    """A loss of the user's own: every output acts on every other."""

    def value(self, output, target):
        return np.sqrt(1 + ((output - target) ** 2).sum(axis=1))

    def derivative(self, output, target):
        return (output - target) / self.value(output, target)[:, None]


class BoundedDistance(Distance):
    curvature = 1.0


USERS = {"user's": Distance(), "user's, bounded": BoundedDistance()}
LOSSES = engine.ALL_LOSSES | {name: WrappedLoss(loss) for name, loss in USERS.items()}
VALUES = {name: loss[0] for name, loss in dense_truth.ALL_LOSSES.items()}
VALUES |= {name: loss.value for name, loss in USERS.items()}
SLOPES = {name: loss[1] for name, loss in dense_truth.ALL_LOSSES.items()}
SLOPES |= {name: loss.derivative for name, loss in USERS.items()}


def targets_of(net, X):
    """What each loss asks of a net's outputs.

    The absolute error has a kink at the target, the Huber loss a bend at a distance of 1: there
    finite differences and nudges of finite size see a mean of both sides. So outputs are
    0.2 to 0.8 or 1.2 to 1.8 from those targets, on either side.
    """
    outputs = net.split(net.equilibrium(X))[-1]
    rng = np.random.RandomState(0)
    beyond, sign = rng.randint(2, size=(2, *outputs.shape))
    distance = rng.uniform(0.2, 0.8, outputs.shape) + beyond
    away = outputs + np.where(sign, distance, -distance)
    sizes = (X.shape[1], outputs.shape[1])
    smooth = ("squared_error", "log_loss", "multilabel_log_loss", "poisson")
    targets = {name: dense_truth.random_task(len(X), sizes, name)[1] for name in smooth}
    return {name: targets.get(name, away) for name in LOSSES}


def gradients(net, X, targets, shares, step=1e-6):
    """dJ/dθ of each loss by central finite differences of J, as `DenseNet.gradient`."""
    theta, start, last = net.theta(), net.equilibrium(X), net.span(net.n_layers)
    found = {name: np.empty_like(theta) for name in targets}
    for index in range(theta.size):
        shift = np.zeros_like(theta)
        shift[index] = step
        ahead, behind = (
            net.with_theta(moved).equilibrium(X, start=start)[:, last]
            for moved in (theta + shift, theta - shift)
        )
        for name, Y in targets.items():
            rise = shares @ (VALUES[name](ahead, Y) - VALUES[name](behind, Y))
            found[name][index] = rise / (2 * step)
    return found


def theorem_1(net, X, targets, shares):
    """ν of each loss by dense linear algebra, as `DenseNet.theorem_1`."""
    S, last = net.equilibrium(X), net.span(net.n_layers)
    found = dict.fromkeys(targets, 0.0)
    for row, (s, x) in enumerate(zip(S, X, strict=True)):
        free = net.interior(s)
        A = net.jacobian(s)[np.ix_(free, free)]
        moves = shares[row] * np.linalg.inv(A.T) @ net.dmu_dtheta(s, x)[free]
        for name, Y in targets.items():
            C_s = np.zeros(s.size)
            C_s[last] = SLOPES[name](s[None, last], Y[[row]])[0]
            found[name] = found[name] + C_s[free] @ moves
    return found


def update(net, X, Y, loss, gradient, shares, beta=1e-4):
    """The package's update by any rule, nudged both ways, as one vector."""
    if gradient == "continual":  # by weights that stay where they are
        rule = ContinualRule(NUDGINGS["centered"], beta)
    else:
        rule = engine.rule_of(gradient, "centered", beta)
    substrate = engine.substrate_of(net)
    batch = Minibatch(X, Y, LOSSES[loss], shares[:, None], np.random.RandomState(0))
    credit = rule.credit(substrate, batch)
    return np.concatenate([change.ravel() for change in credit.changes])
