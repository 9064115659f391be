"""The health report: networks with one known trouble each, and numbers by dense algebra."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment, health_report
from tests.dense_graph import GraphNet
from tests.dense_truth import ACTIVATIONS, CLIPPED, LOSSES, DenseNet, random_net, random_task
from tests.diagnostics.twins import N_SAMPLES, jacobians, problem, twin

NAMES = [
    "fit",
    "learning rate",
    "settling",
    "saturation",
    "dead units",
    "feedback gain",
    "alignment",
    "nudge signal",
    "loop gain",
]


def _report(net, X, Y, loss="squared_error", **parameters):
    model, y = twin(net, loss, X, Y, **parameters)
    _healthy_record(model)
    return health_report(model, X, y)


def _healthy_record(model):
    # The one epoch that made the twin ran on other weights.
    for values in model.relaxation_.values():
        values[-1] = 0.0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_all_is_well(activation, loss):
    net, X, Y = problem(activation, loss, tied=True)
    report = _report(net, X, Y, loss)
    assert [check.name for check in report.checks] == NAMES
    settled = report.checks[1:]  # the network has not learned anything
    assert [check.verdict for check in settled] == ["good"] * len(settled)
    assert report.n_samples == N_SAMPLES
    assert all(check.remedy == "" for check in settled)
    lines = str(report).splitlines()
    for line, check in zip(lines[-1 - len(settled) : -1], settled, strict=True):
        assert line.startswith(check.verdict)
        assert check.name in line
        assert check.finding in line
    assert lines[-1].startswith("Overfitting was not measured")
    assert repr(report) == str(report)


def _only_trouble(report, name, verdict):
    assert report[name].verdict == verdict
    assert report[name].remedy
    assert f"-> {report[name].remedy}" in str(report)
    assert report.verdict == max(
        (check.verdict for check in report.checks), key=["good", "watch", "bad"].index
    )


@pytest.mark.parametrize("activation", CLIPPED)
def test_dead_units(activation):
    net, X, Y = problem(activation)
    net.biases[0][:2] = -100.0
    net.biases[0][2:4] = 0.5
    net.coefs[0][:, 2:4] *= 0.01
    report = _report(net, X, Y)
    dead = ~net.interior(net.equilibrium(X))
    of_layers = [dead[:, net.span(layer)].all(axis=0).mean() for layer in (1, 2)]
    assert report["dead units"].value == max(of_layers)
    assert 2 / 6 <= report["dead units"].value <= 0.5
    _only_trouble(report, "dead units", "watch")
    net.biases[0][:] = -100.0
    _only_trouble(_report(net, X, Y), "dead units", "bad")


@pytest.mark.parametrize("activation", CLIPPED)
@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler"])
def test_the_step_size_does_not_change_the_verdicts(activation, relaxation):
    # A state that is moved by half of its way never reaches the bound.
    net, X, Y = problem(activation)
    net.biases[0][:3] = [-100.0, 0.5, -0.2]
    net.coefs[0] *= 5
    at_bounds = ~net.interior(net.equilibrium(X))
    flat = [at_bounds[:, net.span(layer)] for layer in (1, 2)]
    for step_size in (1.0, 0.5, 0.2):
        settings = {"relaxation": relaxation, "step_size": step_size, "max_relax_iter": 1000}
        report = _report(net, X, Y, **settings)
        saturated = max(layer.mean() for layer in flat)
        dead = max(layer.all(axis=0).mean() for layer in flat)
        assert report["saturation"].value == pytest.approx(saturated, abs=1e-12)
        assert report["dead units"].value == pytest.approx(dead, abs=1e-12)
        assert min(saturated, dead) > 0.1


@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh", "logistic"])
def test_saturation(activation):
    net, X, Y = problem(activation)
    net.coefs[0] *= 30
    report = _report(net, X, Y)
    S = net.equilibrium(X)
    if activation == "hard_sigmoid":
        flat = ~net.interior(S)
    else:
        flat = net.slope(S) < 0.05 * net.slope(np.zeros_like(S))
    of_layers = [flat[:, net.span(layer)].mean() for layer in (1, 2)]
    assert report["saturation"].value == pytest.approx(max(of_layers), abs=1e-15)
    assert report["saturation"].value > 0.5
    _only_trouble(report, "saturation", "watch" if max(of_layers) <= 0.9 else "bad")


def test_half_silent_relu_is_well():
    net, X, Y = problem("relu")
    net.biases[0][:] = 0
    report = _report(net, X, Y)
    assert 0.2 < report["saturation"].value < 0.9
    assert report["saturation"].verdict == "good"


def test_weak_feedback():
    net, X, Y = problem("tanh", loop=1e-5)
    report = _report(net, X, Y)
    gamma = [
        np.linalg.norm(back) / np.linalg.norm(forward)
        for forward, back in zip(net.coefs[1:], net.feedback, strict=True)
    ]
    assert report["feedback gain"].value == pytest.approx(np.prod(gamma), rel=1e-9, abs=0)
    _only_trouble(report, "feedback gain", "watch")
    net, X, Y = problem("tanh", loop=1e-7)
    _only_trouble(_report(net, X, Y), "feedback gain", "bad")


def test_misaligned_feedback():
    net, X, Y = problem("tanh")
    net.feedback[:] = [-0.3 * forward.T for forward in net.coefs[1:]]
    report = _report(net, X, Y)
    assert report["alignment"].value < 0
    _only_trouble(report, "alignment", "bad")
    exact = _report(net, X, Y, gradient="recurrent_backprop")["alignment"]
    assert exact.value > 0.9999
    assert exact.verdict == "good"


@pytest.mark.parametrize("gradient", ["vector_field", "asymmetric"])
def test_an_update_that_does_not_arrive(gradient):
    # An Euler step carries it by one layer.
    sizes = (3, 5, 5, 5, 2)
    net = random_net(sizes, "tanh", loop=0.1, seed=2)
    X, Y = random_task(4, sizes)
    few = {"relaxation": "euler", "max_nudge_iter": 2, "gradient": gradient}
    check = _report(net, X, Y, **few)["alignment"]
    assert check.verdict == "bad"
    assert "No update arrives at F_1, F_2 within max_nudge_iter=2" in check.finding
    assert "Raise max_nudge_iter" in check.remedy


def test_an_exact_gradient_that_is_not_settled():
    sizes = (4, 6, 5, 3)
    net = random_net(sizes, "identity", loop=0.95, gain=0.95, seed=2)
    X, Y = random_task(5, sizes, "log_loss")
    check = _report(net, X, Y, "log_loss", gradient="recurrent_backprop", relax_tol=2.0)
    assert check["alignment"].verdict == "watch"
    assert "a tighter relax_tol" in check["alignment"].remedy


def test_no_error_signal():
    net, X, Y = problem("tanh")
    net.coefs[-1][:] = 0
    net.biases[-1][:] = 0
    check = _report(net, X, np.zeros_like(Y))["alignment"]
    assert np.isnan(check.value)
    assert check.verdict == "watch"
    assert check.remedy


def test_signal_against_rounding():
    sizes = (3, 5, 5, 5, 2)
    net = random_net(sizes, "tanh", loop=1e-3, gain=1.0)
    X, Y = random_task(6, sizes)
    slopes, states = np.zeros((6, 17)), net.equilibrium(X)
    for sample, (A, free) in enumerate(jacobians(net, X)):
        C_s = np.zeros(17)
        C_s[15:] = states[sample, 15:] - Y[sample]
        slopes[sample, free] = np.linalg.solve(A, C_s[free])
    ratios = [
        0.2 * np.sqrt((slopes[:, part] ** 2).mean() / (states[:, part] ** 2).mean())
        for part in (net.span(layer) for layer in (1, 2, 3, 4))
    ]
    wide = _report(net, X, Y, beta=0.2)["nudge signal"]
    assert wide.value == pytest.approx(min(ratios) / np.finfo(np.float64).eps, rel=1e-6)
    assert wide.verdict == "good"
    assert "layer 1" in wide.finding
    for tolerance, verdict in (("auto", "watch"), (1e-5, "bad")):
        model, y = twin(net, "squared_error", X, Y, beta=0.2, dtype="float32", relax_tol=tolerance)
        _healthy_record(model)
        model.coefs_ = [coef.astype(np.float32) for coef in model.coefs_]
        narrow = health_report(model, X, y)["nudge signal"]
        assert narrow.value == pytest.approx(min(ratios) / np.finfo(np.float32).eps, rel=1e-3)
        assert narrow.verdict == verdict
        assert "float32" in narrow.finding


def test_signal_of_an_exact_rule_does_not_go_through_feedback():
    net, X, Y = problem("tanh", loop=1e-9)
    weak = _report(net, X, Y)["nudge signal"]
    exact = _report(net, X, Y, gradient="recurrent_backprop")["nudge signal"]
    assert weak.value < 1e-6 * exact.value


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loop_gain_is_the_square_of_the_spectral_radius(activation):
    net, X, Y = problem(activation)
    radii = [np.abs(np.linalg.eigvals(A + np.eye(len(A)))).max() ** 2 for A, _ in jacobians(net, X)]
    found = _report(net, X, Y)["loop gain"]
    assert found.value == pytest.approx(max(radii), rel=0.1)


def test_distance_from_the_feedforward_pass():
    net, X, Y = problem("tanh")
    S = net.equilibrium(X)
    passed = DenseNet("tanh", net.coefs, net.biases, [0 * back for back in net.feedback])
    distance = np.linalg.norm(S - passed.equilibrium(X)) / np.linalg.norm(S)
    finding = _report(net, X, Y)["loop gain"].finding
    assert f"{distance:.2g} of its length" in finding


def test_a_network_that_is_practically_feedforward():
    net, X, Y = problem("tanh", loop=1e-4)
    for loop_gain, advised in ((0.2, "Raise loop_gain (now 0.2)"), (None, "Raise feedback_scale")):
        check = _report(net, X, Y, loop_gain=loop_gain)["loop gain"]
        assert check.verdict == "good"
        assert "The network is almost feedforward." in check.finding
        assert check.remedy.startswith(advised)


def test_a_network_that_does_not_settle():
    net = DenseNet(
        "tanh",
        [np.zeros((1, 1)), np.array([[-5.0]])],
        [np.full(1, 0.1), np.zeros(1)],
        [np.array([[5.0]])],
    )
    X, Y = random_task(2, (1, 1))
    report = _report(net, X, Y, relaxation="euler", max_relax_iter=5)
    assert report["settling"].value == 1
    _only_trouble(report, "settling", "bad")
    assert report.verdict == "bad"


def test_an_unstable_equilibrium():
    # From rest s = 0 stays at 0, where each loop multiplies by 1.5².
    weights = np.array([[1.5]])
    net = DenseNet("tanh", [np.zeros((1, 1)), weights], [np.zeros(1), np.zeros(1)], [weights])
    X, Y = random_task(3, (1, 1))
    report = _report(net, X, Y)
    assert report["loop gain"].value == pytest.approx(1.5**2, rel=1e-9)
    _only_trouble(report, "loop gain", "bad")
    for name in ("alignment", "nudge signal"):
        assert np.isnan(report[name].value)
        _only_trouble(report, name, "bad")


def test_phases_that_did_not_settle_in_training():
    net, X, Y = problem("tanh", tied=True)
    model, y = twin(net, "squared_error", X, Y)
    _healthy_record(model)
    model.relaxation_["nudged_unconverged"][-1] = 0.03
    report = health_report(model, X, y)
    assert report["settling"].value == 0.03
    _only_trouble(report, "settling", "watch")


def test_strong_loops():
    net, X, Y = problem("identity", tied=True, gain=0.78)
    report = _report(net, X, Y, nudging="centered")
    assert report["loop gain"].value > 0.8
    _only_trouble(report, "loop gain", "watch")
    # Pushed away from its target at this β, such a network runs off.
    assert np.isnan(report["alignment"].value)
    assert "diverge at beta=0.5" in report["alignment"].finding
    assert _report(net, X, Y, nudging="centered", beta=0.01)["alignment"].verdict == "good"


def test_the_gain_of_a_ring():
    # Its eigenvalues lie on a circle, and single steps grow now more, now less.
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((20, 4)), np.arange(20) % 3
    ring = [(0, 1), (1, 2), (2, 3), (3, 1)]
    model = EqPropClassifier(
        (6, 5), activation="tanh", connections=ring, gradient="recurrent_backprop", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.partial_fit(X, y, classes=[0, 1, 2])
    for scale, coef in zip([0.3, 2.0, 2.0], model.coefs_, strict=True):
        coef[:] = rng.standard_normal(coef.shape) * scale
    model.feedback_coefs_[0][:] = rng.standard_normal((3, 6)) * 0.02
    net = GraphNet("tanh", ring, model.coefs_, model.intercepts_, model.feedback_coefs_)
    coupled = [net.jacobian(state) + np.eye(net.ends[-1]) for state in net.equilibrium(X)]
    radius = max(np.abs(np.linalg.eigvals(each)).max() for each in coupled)
    found = health_report(model, X, y)["loop gain"].value
    assert found == pytest.approx(radius**2, rel=0.02)


def test_no_hidden_layer():
    net = random_net((4, 2), "relu")
    X, Y = random_task(6, (4, 2))
    report = _report(net, X, Y)
    assert {check.verdict for check in report.checks if check.name != "fit"} == {"good"}
    assert report["loop gain"].value == 0


def test_many_rows():
    net, X, Y = problem("relu")
    model, y = twin(net, "squared_error", X, Y)
    few = health_report(model, X, y)
    many = health_report(model, np.tile(X, (300, 1)), np.tile(y, (300, 1)))
    for check in few.checks:
        # The gain of the loops is found from random starts.
        error = 0.05 if check.name == "loop gain" else 1e-9
        assert many[check.name].value == pytest.approx(check.value, rel=error)


def test_asking_for_a_check_there_is_not():
    net, X, Y = problem("tanh")
    with pytest.raises(KeyError, match=r"No check is named 'mood'\. The checks are fit"):
        _report(net, X, Y)["mood"]


def test_several_connections_into_one_layer():
    X, y = load_iris(return_X_y=True)
    connections = [(0, 1), (1, 2), (2, 3), (0, 2), (2, 1), (3, 2)]
    model = EqPropClassifier((6, 5), connections=connections, max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        report = health_report(model.fit(X, y), X, y)
    cosines = [
        block.update_cosine
        for block in gradient_alignment(model, X, y).blocks
        if block.role == "forward"
    ]
    assert len(cosines) == 4
    assert report["alignment"].value <= min(cosines)
