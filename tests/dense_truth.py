"""The whole network as one dense float64 system, written from the equation sheet alone.

Nothing here imports the package: the equations of docs/theory.md sections 1-3 are written out
again, slowly, for one long state vector S = (s_1 .. s_L) a sample, so that the tests compare two
independent implementations. Hard sigmoid and ReLU: the state is clipped to the range of ρ
(section 6) and units at a bound drop out of the linear system; other activations: free states.
"""

import itertools

import numpy as np
from scipy.special import xlogy


def _logistic(s):
    return 1 / (1 + np.exp(-s))


#: name -> (ρ, ρ', lowest state, highest state)
ACTIVATIONS = {
    "hard_sigmoid": (lambda s: s, np.ones_like, 0.0, 1.0),
    "relu": (lambda s: s, np.ones_like, 0.0, np.inf),
    "tanh": (np.tanh, lambda s: 1 / np.cosh(s) ** 2, -np.inf, np.inf),
    "logistic": (_logistic, lambda s: _logistic(s) * _logistic(-s), -np.inf, np.inf),
    "identity": (lambda s: s, np.ones_like, -np.inf, np.inf),
}
CLIPPED = ("hard_sigmoid", "relu")


def _softmax(s):
    grown = np.exp(s)
    return grown / grown.sum(axis=-1, keepdims=True)


def _softmax_hessian(s):
    p = _softmax(s)
    return np.diag(p) - np.outer(p, p)


#: name -> (C(s, y) of each row, ∂C/∂s, ∂²C/∂s² of one row)
LOSSES = {
    "squared_error": (
        lambda s, y: 0.5 * ((y - s) ** 2).sum(axis=-1),
        lambda s, y: s - y,
        lambda s: np.eye(s.size),
    ),
    "log_loss": (
        lambda s, y: -(y * np.log(_softmax(s))).sum(axis=-1),
        lambda s, y: _softmax(s) - y,
        _softmax_hessian,
    ),
    "multilabel_log_loss": (
        lambda s, y: -(y * np.log(_logistic(s)) + (1 - y) * np.log(_logistic(-s))).sum(axis=-1),
        lambda s, y: _logistic(s) - y,
        lambda s: np.diag(_logistic(s) * _logistic(-s)),
    ),
}

#: Costs for regression beside the squared error; of the Huber loss δ = 1.
REGRESSION_LOSSES = {
    "absolute_error": (
        lambda s, y: np.abs(s - y).sum(axis=-1),
        lambda s, y: np.sign(s - y),
        lambda s: np.zeros((s.size, s.size)),
    ),
    "huber": (
        lambda s, y: np.where(np.abs(s - y) <= 1, 0.5 * (s - y) ** 2, np.abs(s - y) - 0.5).sum(
            axis=-1
        ),
        lambda s, y: np.where(np.abs(s - y) <= 1, s - y, np.sign(s - y)),
        None,  # depends on the target
    ),
    "poisson": (
        lambda s, y: (np.exp(s) - y * s + xlogy(y, y) - y).sum(axis=-1),
        lambda s, y: np.exp(s) - y,
        lambda s: np.diag(np.exp(s)),
    ),
}
ALL_LOSSES = LOSSES | REGRESSION_LOSSES


class DenseNet:
    """μ(S) = ρ(S) W + c - S, with W the full unit-by-unit matrix of weights.

    Parameters
    ----------
    activation : str
        Of the hidden units.
    coefs, biases : lists of ndarray
        F_l of shape (n_{l-1}, n_l) and b_l, l = 1..L.
    feedback : list of ndarray or None
        B_l of shape (n_{l+1}, n_l), l = 1..L-1; None: B_l = γ_l F_{l+1}^T.
    strengths : list of float or None
        γ_l; None: 1.
    output : str
        Activation of the output: one with ρ(s) = s.
    """

    output = "identity"

    def __init__(self, activation, coefs, biases, feedback=None, strengths=None, output="identity"):
        self.activation, self.strengths, self.output = activation, strengths, output
        self.coefs, self.biases, self.feedback = coefs, biases, feedback
        sizes = [bias.size for bias in biases]
        self.ends = np.concatenate([[0], np.cumsum(sizes)])
        hidden = np.arange(self.ends[-1]) < self.ends[-2]
        self.hidden = hidden
        bounds, of_output = ACTIVATIONS[activation][2:], ACTIVATIONS[output][2:]
        self.low, self.high = (
            np.where(hidden, *sides) for sides in zip(bounds, of_output, strict=True)
        )
        self.W = self._unit_by_unit()

    @property
    def n_layers(self):
        return len(self.biases)

    @property
    def connections(self):
        """(source, target) of every block of weights."""
        L = self.n_layers
        forward = [(layer - 1, layer) for layer in range(1, L + 1)]
        return forward + [(layer + 1, layer) for layer in range(1, L)]

    def span(self, layer):
        """Where a layer, 1..L, sits in S."""
        return slice(self.ends[layer - 1], self.ends[layer])

    def split(self, S):
        """One array a layer."""
        return [S[..., self.span(layer)] for layer in range(1, self.n_layers + 1)]

    def _unit_by_unit(self):
        W = np.zeros((self.ends[-1], self.ends[-1]))
        for layer in range(1, self.n_layers):
            forward = self.coefs[layer]
            back = self.strength(layer - 1) * forward.T
            backward = back if self.feedback is None else self.feedback[layer - 1]
            W[self.span(layer), self.span(layer + 1)] = forward
            W[self.span(layer + 1), self.span(layer)] = backward
        return W

    def strength(self, index):
        """γ of one tied feedback connection."""
        return 1.0 if self.strengths is None else self.strengths[index]

    def rho(self, S):
        return np.where(self.hidden, ACTIVATIONS[self.activation][0](S), S)

    def slope(self, S):
        return np.where(self.hidden, ACTIVATIONS[self.activation][1](S), 1.0)

    def drive(self, S, X):
        constant = np.tile(np.concatenate(self.biases), (X.shape[0], 1))
        constant[:, self.span(1)] += X @ self.coefs[0]
        return self.rho(S) @ self.W + constant

    def field(self, S, X, loss=None, Y=None, beta=0.0):
        """μ^β = μ - β ∂C/∂s (Eqs. 13-16)."""
        mu = self.drive(S, X) - S
        if beta:
            outputs = self.span(self.n_layers)
            mu[:, outputs] -= beta * ALL_LOSSES[loss][1](S[:, outputs], Y)
        return mu

    def residual(self, S, X, loss=None, Y=None, beta=0.0):
        """Largest |clip(s + μ^β) - s| of each sample."""
        moved = np.clip(S + self.field(S, X, loss, Y, beta), self.low, self.high)
        return np.abs(moved - S).max(axis=1)

    def interior(self, S):
        """Which units are away from every bound, hence part of the linear system."""
        return (self.low < S) & (self.high > S)

    def margin(self, S, X):
        """Smallest distance of any unit's free drive from a bound."""
        gaps = [np.inf]
        for bound in (self.low, self.high):
            finite = np.isfinite(bound)
            if finite.any():
                gaps.append(np.abs(self.drive(S, X)[:, finite] - bound[finite]).min())
        return min(gaps)

    def jacobian(self, s, loss=None, beta=0.0):
        """A_ij = ∂μ_i/∂s_j of one sample, every unit counted."""
        A = (self.W * self.slope(s)[:, None]).T - np.eye(s.size)
        if beta:
            outputs = self.span(self.n_layers)
            A[outputs, outputs] -= beta * ALL_LOSSES[loss][2](s[outputs])
        return A

    def equilibrium(self, X, loss=None, Y=None, beta=0.0, start=None):
        """Fixed point by damped iteration, then Newton on the units away from a bound."""
        S = np.zeros((X.shape[0], self.ends[-1])) if start is None else start.copy()
        for _ in range(20_000):
            if self.residual(S, X, loss, Y, beta).max() < 1e-5:
                break
            mu = self.field(S, X, loss, Y, beta)
            S = np.clip(S + 0.4 * mu, self.low, self.high)
        for _ in range(6):
            if self.residual(S, X, loss, Y, beta).max() < 5e-16:
                break
            mu = self.field(S, X, loss, Y, beta)
            for s, mu_of_s, free in zip(S, mu, self.interior(S), strict=True):
                A = self.jacobian(s, loss, beta)[np.ix_(free, free)]
                s[free] -= np.linalg.solve(A, mu_of_s[free])
        S = np.clip(S, self.low, self.high)
        assert self.residual(S, X, loss, Y, beta).max() < 2e-14 * (1 + np.abs(S).max())
        return S

    # Parameters as one vector, in the order: F_1..F_L, B_1..B_{L-1} (untied only), b_1..b_L.

    def blocks(self):
        return [*self.coefs, *(self.feedback or []), *self.biases]

    def theta(self):
        return np.concatenate([block.ravel() for block in self.blocks()])

    def with_theta(self, theta):
        """The same network with other parameters."""
        arrays, start = [], 0
        for block in self.blocks():
            arrays.append(theta[start : start + block.size].reshape(block.shape))
            start += block.size
        n, n_feedback = len(self.coefs), len(self.feedback or [])
        feedback = arrays[n : n + n_feedback] if self.feedback is not None else None
        return self.with_arrays(arrays[:n], arrays[n + n_feedback :], feedback)

    def with_arrays(self, coefs, biases, feedback):
        """The same network with other weights."""
        return DenseNet(self.activation, coefs, biases, feedback, self.strengths, self.output)

    def dmu_dtheta(self, s, x):
        """∂μ/∂θ of one sample, (units, parameters): μ is linear in θ, so differences are exact."""
        theta, S, X = self.theta(), s[None], x[None]
        base = self.field(S, X)[0]
        columns = []
        for index in range(theta.size):
            raised = theta.copy()
            raised[index] += 1
            columns.append(self.with_theta(raised).field(S, X)[0] - base)
        return np.stack(columns, axis=1)

    def theorem_1(self, X, loss, Y, shares):
        """Σ shares · C_s (A^T)^{-1} ∂μ/∂θ at the free fixed point, by dense linear algebra."""
        total = 0.0
        for s, x, y, share in zip(self.equilibrium(X), X, Y, shares, strict=True):
            free = self.interior(s)
            C_s = np.zeros(s.size)
            outputs = self.span(self.n_layers)
            C_s[outputs] = ALL_LOSSES[loss][1](s[outputs], y)
            A = self.jacobian(s)[np.ix_(free, free)]
            row = np.linalg.inv(A.T)
            total = total + share * (C_s[free] @ row @ self.dmu_dtheta(s, x)[free])
        return total

    def objective(self, X, loss, Y, shares, start=None):
        """J = Σ shares · C(s*, y) (Eq. 12)."""
        output = self.equilibrium(X, start=start)[:, self.span(self.n_layers)]
        return float(shares @ ALL_LOSSES[loss][0](output, Y))

    def gradient(self, X, loss, Y, shares, step=1e-6):
        """dJ/dθ by central finite differences of J."""
        theta, start = self.theta(), self.equilibrium(X)
        slopes = np.empty_like(theta)
        for index in range(theta.size):
            values = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[index] += sign * step
                values.append(self.with_theta(moved).objective(X, loss, Y, shares, start))
            slopes[index] = (values[0] - values[1]) / (2 * step)
        return slopes


def random_net(sizes, activation, *, tied=False, gain=0.8, loop=0.5, seed=0, output="identity"):
    """Weights of spectral norm `gain` forward and `loop / gain` back, biases that spread ρ."""
    rng = np.random.RandomState(seed)

    def weights(n, m, norm):
        draw = rng.standard_normal((n, m))
        return draw * (norm / np.linalg.norm(draw, 2))

    pairs = list(itertools.pairwise(sizes))
    coefs = [weights(n, m, gain) for n, m in pairs]
    coefs[0] = rng.standard_normal((sizes[0], sizes[1])) / np.sqrt(sizes[0])
    feedback = None if tied else [weights(m, n, loop / gain) for n, m in pairs[1:]]
    centre = 0.5 if activation == "hard_sigmoid" else 0.2
    biases = [centre + 0.2 * rng.standard_normal(size) for size in sizes[1:]]
    return DenseNet(activation, coefs, biases, feedback, output=output)


def random_task(n_samples, sizes, loss="squared_error", seed=0):
    """Inputs and targets that suit a loss."""
    rng = np.random.RandomState(1000 + seed)
    X = rng.standard_normal((n_samples, sizes[0]))
    if loss == "log_loss":
        Y = np.eye(sizes[-1])[rng.randint(sizes[-1], size=n_samples)]
    elif loss == "multilabel_log_loss":
        Y = rng.randint(2, size=(n_samples, sizes[-1])).astype(float)
    elif loss == "poisson":
        Y = rng.poisson(1.5, size=(n_samples, sizes[-1])).astype(float)
    else:
        Y = rng.standard_normal((n_samples, sizes[-1]))
    return X, Y
