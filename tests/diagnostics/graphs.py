"""Estimators around random networks on any graph of layers."""

from tests.dense_graph import GRAPHS, SIZES, random_graph_net
from tests.dense_truth import random_task
from tests.diagnostics.twins import N_SAMPLES, twin

#: `GRAPHS`, and one without a loop, which only an exact gradient trains.
ALL_GRAPHS = GRAPHS | {"no feedback": ((0, 1), (1, 2), (2, 3), (1, 3))}


def graph_problem(graph, *, tied=False, **parameters):
    """A network on a graph with a task, and the estimator whose network it is."""
    net = random_graph_net(graph, "tanh", tied=tied)
    X, Y = random_task(N_SAMPLES, SIZES)
    settings = {"connections": list(graph), "gradient": "recurrent_backprop"} | parameters
    return net, X, Y, *twin(net, "squared_error", X, Y, **settings)
