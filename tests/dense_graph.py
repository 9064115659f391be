"""Any directed graph of layers as one dense float64 system, see `dense_truth`.

As there, nothing here imports the package. A graph is a list of (source layer, target layer);
layer 0 is the input, the last one the output.
"""

import itertools

import numpy as np

from tests.dense_truth import DenseNet

CHAIN = ((0, 1), (1, 2), (2, 3), (3, 2), (2, 1))
#: Graphs of three layers with a state.
GRAPHS = {
    "ring": ((0, 1), (1, 2), (2, 3), (3, 1)),
    "skip": (*CHAIN, (0, 3), (1, 3), (3, 1)),
    "lateral inhibition": (*CHAIN, (1, 1), (2, 2)),
    "direct feedback": ((0, 1), (1, 2), (2, 3), (3, 1), (3, 2)),
    # Layers 1 and 2 hear of the input through the output alone.
    "behind the output": ((0, 3), (3, 2), (2, 1), (1, 3)),
    "all": tuple((source, target) for source in range(4) for target in range(1, 4)),
}
SIZES = (4, 5, 6, 3)


class GraphNet(DenseNet):
    """μ(S) = ρ(S) W + c - S for any graph.

    Parameters
    ----------
    activation : str
    graph : list of (source, target)
    coefs, feedback : lists of ndarray
        Weights of the connections to later layers, and of all others, each in the order of
        (target, source). Feedback that is None is the transpose of its partner
        times its strength.
    biases : list of ndarray
    """

    def __init__(self, activation, graph, coefs, biases, feedback=None, strengths=None):
        in_order = sorted(graph, key=lambda pair: (pair[1], pair[0]))
        self.forward_pairs = [pair for pair in in_order if pair[0] < pair[1]]
        self.feedback_pairs = [pair for pair in in_order if pair[0] >= pair[1]]
        super().__init__(activation, coefs, biases, feedback, strengths)

    @property
    def connections(self):
        return self.forward_pairs + self.feedback_pairs

    def block_of(self, pair):
        """Weights from one layer to another."""
        if pair in self.forward_pairs:
            return self.coefs[self.forward_pairs.index(pair)]
        if self.feedback is None:
            strength = self.strength(self.feedback_pairs.index(pair))
            return strength * self.block_of(pair[::-1]).T
        return self.feedback[self.feedback_pairs.index(pair)]

    def _unit_by_unit(self):
        W = np.zeros((self.ends[-1], self.ends[-1]))
        for source, target in self.connections:
            if source > 0:
                W[self.span(source), self.span(target)] = self.block_of((source, target))
        return W

    def drive(self, S, X):
        drive = self.rho(S) @ self.W + np.concatenate(self.biases)
        for source, target in self.forward_pairs:
            if source == 0:
                drive[:, self.span(target)] += X @ self.block_of((source, target))
        return drive

    def with_arrays(self, coefs, biases, feedback):
        graph = self.connections
        return GraphNet(self.activation, graph, coefs, biases, feedback, self.strengths)

    def norms(self):
        """N_ij, spectral norm of the connection from layer j + 1 to layer i + 1."""
        N = np.zeros((self.n_layers, self.n_layers))
        for source, target in self.connections:
            if source > 0:
                N[target - 1, source - 1] = np.linalg.norm(self.block_of((source, target)), 2)
        return N

    def parts(self):
        """Where each block of `blocks` sits in the parameter vector."""
        ends = np.cumsum([0, *(block.size for block in self.blocks())])
        return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def radius(matrix):
    """Spectral radius."""
    return np.abs(np.linalg.eigvals(matrix)).max()


def random_graph_net(graph, activation, sizes=SIZES, *, tied=False, strength=0.65, seed=0):
    """Random weights whose matrix of norms has spectral radius `strength` at most.

    Lateral connections are inhibitory: all their weights are negative.
    """
    rng = np.random.RandomState(seed)

    def weights(source, target):
        draw = rng.standard_normal((sizes[source], sizes[target]))
        if source == 0:
            return draw / np.sqrt(sizes[0])
        if source == target:
            draw = -np.abs(draw)
        return draw * (rng.uniform(0.6, 0.9) / np.linalg.norm(draw, 2))

    centre = 0.5 if activation == "hard_sigmoid" else 0.2
    biases = [centre + 0.2 * rng.standard_normal(size) for size in sizes[1:]]
    blocks = {pair: weights(*pair) for pair in sorted(graph, key=lambda pair: pair[::-1])}

    def built(factor):
        scaled = {pair: (factor if pair[0] else 1.0) * block for pair, block in blocks.items()}
        forward = [block for (source, target), block in scaled.items() if source < target]
        back = [block for (source, target), block in scaled.items() if source >= target]
        return GraphNet(activation, graph, forward, biases, None if tied else back)

    return built(min(1.0, strength / max(radius(built(1.0).norms()), 1e-9)))
