"""A convolutional network written out as one dense float64 system, for comparison.

Convolutions become matrices by loops over positions, straight from the definition; the package is
not used. A maximum is the member of its window that wins at the current state (in nudged phases
at the free equilibrium). Everything else is `dense_graph`-like: one long state vector a sample.
"""

import numpy as np

LOW, HIGH = {"relu": 0.0, "hard_sigmoid": 0.0}, {"relu": np.inf, "hard_sigmoid": 1.0}


def places(in_shape, kernel, stride, pad, out):
    """(position out, kernel row, kernel column, position in) of every product, by definition."""
    height, width = in_shape[:2]
    for p, q in np.ndindex(*out):
        for i, j in np.ndindex(*kernel):
            row, column = p * stride + i - pad, q * stride + j - pad
            if 0 <= row < height and 0 <= column < width:
                yield (p, q), (i, j), (row, column)


class ConvLayer:
    """The linear part of a convolution: stride `stride`, `pad` zeros above and to the left."""

    def __init__(self, in_shape, out_shape, kernel, *, stride=1, pad=0, pool=1, average=False):
        self.in_shape, self.out_shape = in_shape, out_shape  # height, width, maps before pooling
        self.kernel, self.stride, self.pad = kernel, stride, pad
        self.pool, self.average = pool, average

    @property
    def pooled_shape(self):
        height, width, maps = self.out_shape
        return height // self.pool, width // self.pool, maps

    def matrix(self, weights):
        """(units in, units out before pooling)."""
        matrix = np.zeros((*self.in_shape, *self.out_shape))
        out = self.out_shape[:2]
        for (p, q), (i, j), (r, c) in places(
            self.in_shape, self.kernel, self.stride, self.pad, out
        ):
            matrix[r, c, :, p, q, :] += weights[i, j]
        return matrix.reshape(np.prod(self.in_shape), np.prod(self.out_shape))

    def pooling(self, convolved):
        """(units before, units after pooling) for one sample, whose convolution is given."""
        height, width, maps = self.pooled_shape
        pooling = np.zeros((*self.out_shape, height, width, maps))
        convolved = convolved.reshape(self.out_shape)
        side = self.pool
        for p, q, f in np.ndindex(height, width, maps):
            rows, columns = slice(p * side, (p + 1) * side), slice(q * side, (q + 1) * side)
            if self.average:
                pooling[rows, columns, f, p, q, f] = 1 / side**2
            else:
                window = convolved[rows, columns, f]
                i, j = np.unravel_index(window.argmax(), window.shape)
                pooling[p * side + i, q * side + j, f, p, q, f] = 1
        return pooling.reshape(np.prod(self.out_shape), np.prod(self.pooled_shape))


class ConvNet:
    """Convolutional layers, then dense ones, in a row; ReLU or hard sigmoid, linear output.

    Parameters
    ----------
    activation : str
    layers : list of ConvLayer or None
        One for each of the layers 1..L; None: dense.
    coefs, biases : lists of ndarray
    feedback : list of ndarray or None
        Kernels of the forward shape beside convolutions; None: tied.
    strengths : list of float or None
        γ of tied feedback; None: 1.
    """

    def __init__(self, activation, layers, coefs, biases, feedback=None, strengths=None):
        self.strengths = strengths
        self.activation, self.layers = activation, layers
        self.coefs, self.biases, self.feedback = coefs, biases, feedback
        self.sizes = [
            bias.size if layer is None else int(np.prod(layer.pooled_shape))
            for layer, bias in zip(layers, biases, strict=True)
        ]
        self.ends = np.concatenate([[0], np.cumsum(self.sizes)])
        hidden = np.arange(self.ends[-1]) < self.ends[-2]
        self.low = np.where(hidden, LOW[activation], -np.inf)
        self.high = np.where(hidden, HIGH[activation], np.inf)

    def span(self, layer):
        return slice(self.ends[layer - 1], self.ends[layer])

    def split(self, S):
        return [S[..., self.span(layer)] for layer in range(1, len(self.layers) + 1)]

    def bias_row(self):
        return np.concatenate(
            [np.tile(bias, n // bias.size) for bias, n in zip(self.biases, self.sizes, strict=True)]
        )

    def matrices(self):
        """Matrix of every forward and feedback connection, before any pooling."""
        forward, backward = [], []
        for index, (layer, coef) in enumerate(zip(self.layers, self.coefs, strict=True)):
            own = self.feedback[index - 1] if self.feedback is not None and index else None
            if layer is None:
                forward.append(coef)
                backward.append(coef.T if own is None else own)
            else:
                forward.append(layer.matrix(coef))
                backward.append(forward[-1].T if own is None else layer.matrix(own).T)
            if index and self.feedback is None and self.strengths is not None:
                backward[-1] = self.strengths[index - 1] * backward[-1]
        return forward, backward

    def system(self, s, x, matrices=None):
        """W, unit by unit, and the constant c, so that μ(s') = s' W + c - s' near s.

        Winners are those at s and x.
        """
        sources = [x, *self.split(s)]
        forward, backward = map(list, matrices or self.matrices())
        for index, layer in enumerate(self.layers):
            if layer is not None and layer.pool > 1:
                pooling = layer.pooling(sources[index] @ forward[index])
                forward[index] = forward[index] @ pooling
                backward[index] = pooling.T @ backward[index]
        backward = backward[1:]
        W = np.zeros((self.ends[-1], self.ends[-1]))
        for layer in range(1, len(self.layers)):
            W[self.span(layer), self.span(layer + 1)] = forward[layer]
            W[self.span(layer + 1), self.span(layer)] = backward[layer - 1]
        constant = self.bias_row()
        constant[self.span(1)] += x @ forward[0]
        return W, constant

    def residual(self, S, X):
        """Largest |clip(s + μ) - s| of each sample, winners at its own state."""
        residuals = []
        for s, x in zip(S, X, strict=True):
            W, constant = self.system(s, x)
            residuals.append(np.abs(np.clip(s @ W + constant, self.low, self.high) - s).max())
        return np.array(residuals)

    def equilibrium(self, X, *, Y=None, beta=0.0, around=None):
        """Fixed point of each sample by damped iteration, then Newton; squared error.

        `around`: states to start from, whose winners are held; None: from rest, winners of the
        current state.
        """
        states, matrices = [], self.matrices()
        outputs = self.span(len(self.layers))
        for row, x in enumerate(X):
            s = np.zeros(self.ends[-1]) if around is None else around[row].copy()
            for step in range(3000):
                if around is None or step == 0:
                    W, constant = self.system(s, x, matrices)
                mu = s @ W + constant - s
                if beta:
                    mu[outputs] += beta * (Y[row] - s[outputs])
                moved = np.clip(s + 0.5 * mu, self.low, self.high)
                change = np.abs(moved - s).max()
                s = moved
                if change < 1e-9:
                    break
            for _ in range(4):
                free = (s > self.low) & (s < self.high)
                if around is None:
                    W, constant = self.system(s, x, matrices)
                A = W.T - np.eye(s.size)
                mu = s @ W + constant - s
                if beta:
                    mu[outputs] += beta * (Y[row] - s[outputs])
                    A[outputs, outputs] -= beta * np.eye(Y.shape[1])
                s[free] -= np.linalg.solve(A[np.ix_(free, free)], mu[free])
                s = np.clip(s, self.low, self.high)
            states.append(s)
        return np.array(states)

    def objective(self, X, Y, around):
        """Mean squared error at equilibria whose winners are those of `around`."""
        out = self.equilibrium(X, around=around)[:, self.span(len(self.layers))]
        return float(0.5 * ((out - Y) ** 2).sum(axis=1).mean())

    def blocks(self):
        return [*self.coefs, *(self.feedback or []), *self.biases]

    def gradient(self, X, Y, free, step=1e-6):
        """dJ/dθ of every block by central differences, at the free equilibria given."""
        gradients = []
        for block in self.blocks():
            slopes = np.empty_like(block)
            for index in np.ndindex(block.shape):
                kept, values = block[index], []
                for sign in (1, -1):
                    block[index] = kept + sign * step
                    values.append(self.objective(X, Y, free))
                block[index] = kept
                slopes[index] = (values[0] - values[1]) / (2 * step)
            gradients.append(slopes)
        return gradients
