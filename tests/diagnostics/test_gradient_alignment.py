"""Theorem 1's angle against finite differences of J and dense linear algebra."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.diagnostics import gradient_alignment
from tests.dense_truth import ACTIVATIONS, LOSSES, DenseNet, random_net, random_task
from tests.diagnostics.twins import blocks_of, cosine, problem, shares, twin
from tests.engine import update


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_cosine_and_size_against_the_dense_system(activation, loss, tied):
    net, X, Y = problem(activation, loss, tied=tied)
    gradient = net.gradient(X, loss, Y, shares())
    nu = net.theorem_1(X, loss, Y, shares())
    found = gradient_alignment(*_with_data(net, loss, X, Y))
    assert found.overall == pytest.approx(cosine(nu, -gradient), abs=1e-6)
    assert found.slope == pytest.approx(nu @ gradient, rel=1e-6)
    assert found.objective == pytest.approx(net.objective(X, loss, Y, shares()), rel=1e-9)
    assert found.n_unsettled == 0
    assert len(found.blocks) == len(net.blocks())
    truths = zip(blocks_of(net, nu), blocks_of(net, gradient), strict=True)
    for block, (of_nu, of_gradient) in zip(found.blocks, truths, strict=True):
        assert block.cosine == pytest.approx(cosine(of_nu, -of_gradient), abs=1e-5)
        assert block.nu_norm == pytest.approx(np.linalg.norm(of_nu), rel=1e-6, abs=0)
        assert block.gradient_norm == pytest.approx(np.linalg.norm(of_gradient), rel=1e-5)


def _with_data(net, loss, X, Y, **parameters):
    model, y = twin(net, loss, X, Y, **parameters)
    return model, X, y


def test_names_of_the_blocks():
    net, X, Y = problem()
    found = gradient_alignment(*_with_data(net, "squared_error", X, Y))
    names = ["F_1", "F_2", "F_3", "B_1", "B_2", "b_1", "b_2", "b_3"]
    assert [block.name for block in found.blocks] == names
    assert [block.layer for block in found.blocks] == [1, 2, 3, 1, 2, 1, 2, 3]
    text = str(found)
    assert repr(found) == text
    for block in found.blocks:
        assert block.name in text
    assert f"{found.overall:+.4f}" in text


@pytest.mark.parametrize("nudging", ["one_sided", "centered"])
def test_the_update_is_the_estimators_own(nudging):
    # Truth: the engine's update at the same β, the attenuation undone by hand.
    net, X, Y = problem("tanh", "log_loss", loop=0.1)
    gradient = blocks_of(net, net.gradient(X, "log_loss", Y, shares()))
    raw = blocks_of(net, update(net, X, Y, "log_loss", 0.4, shares(), nudging))
    gamma = [
        np.linalg.norm(back) / np.linalg.norm(forward)
        for forward, back in zip(net.coefs[1:], net.feedback, strict=True)
    ]
    scale = {1: gamma[0] * gamma[1], 2: gamma[1], 3: 1.0}
    layers = [1, 2, 3, 1, 2, 1, 2, 3]
    for rescale in (False, True):
        settings = {"nudging": nudging, "beta": 0.4, "feedback_learning": "local"}
        settings["relax_tol"] = 1e-12
        data = _with_data(net, "log_loss", X, Y, layerwise_rescale=rescale, **settings)
        found = gradient_alignment(*data)
        moved = [
            change / scale[layer] if rescale else change
            for change, layer in zip(raw, layers, strict=True)
        ]
        assert found.rescaled == rescale
        assert found.update == pytest.approx(
            cosine(np.concatenate(moved), -np.concatenate(gradient)), abs=1e-6
        )
        for block, change, of_gradient in zip(found.blocks, moved, gradient, strict=True):
            assert block.update_cosine == pytest.approx(cosine(change, -of_gradient), abs=1e-5)


@pytest.mark.parametrize("learning", ["kolen_pollack", "fixed"])
def test_feedback_that_moves_by_another_rule_has_no_update(learning):
    net, X, Y = problem()
    found = gradient_alignment(
        *_with_data(net, "squared_error", X, Y, feedback_learning=learning, beta=1e-4)
    )
    assert all((b.update_cosine is None) == (b.role == "feedback") for b in found.blocks)
    trained = [block.role != "feedback" for block in found.blocks]
    gradient = blocks_of(net, net.gradient(X, "squared_error", Y, shares()))
    raw = blocks_of(net, update(net, X, Y, "squared_error", 1e-4, shares()))
    pairs = [(u, g) for u, g, keep in zip(raw, gradient, trained, strict=True) if keep]
    assert found.rescaled
    # Undo nothing: compare with the update as it is.
    plain = gradient_alignment(
        *_with_data(
            net,
            "squared_error",
            X,
            Y,
            feedback_learning=learning,
            beta=1e-4,
            layerwise_rescale=False,
            relax_tol=1e-12,
        )
    )
    truth = cosine(np.concatenate([u for u, _ in pairs]), -np.concatenate([g for _, g in pairs]))
    assert plain.update == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize(
    ("gradient", "error"), [("recurrent_backprop", 1e-9), ("asymmetric", 1e-2)]
)
def test_exact_rules_are_aligned_whatever_the_feedback(gradient, error):
    net, X, Y = problem("tanh", "log_loss")
    settings = {"gradient": gradient, "nudging": "centered", "beta": 0.1}
    found = gradient_alignment(*_with_data(net, "log_loss", X, Y, relax_tol=1e-12, **settings))
    assert found.overall < 0.999
    assert 1 - found.update < error
    assert not found.rescaled


def test_the_update_is_what_the_limits_of_training_leave_of_it():
    # An Euler step carries a nudge by one layer: after two, the lowest of three has none.
    sizes = (3, 5, 5, 5, 2)
    net = random_net(sizes, "tanh", loop=0.1, seed=2)
    X, Y = random_task(4, sizes)
    few = {"relaxation": "euler", "max_nudge_iter": 2, "layerwise_rescale": False}
    data = _with_data(net, "squared_error", X, Y, **few)
    blocks = {block.name: block for block in gradient_alignment(*data).blocks}
    assert np.isnan(blocks["F_1"].update_cosine)
    assert blocks["F_1"].cosine == blocks["F_1"].cosine  # ν is a limit, and there
    assert abs(blocks["F_4"].update_cosine) > 0.9


@pytest.mark.parametrize("relaxation", ["euler", "gauss_seidel", "anderson"])
def test_whatever_the_estimators_way_of_settling(relaxation):
    net, X, Y = problem("hard_sigmoid", "log_loss")
    truth = cosine(
        net.theorem_1(X, "log_loss", Y, shares()), -net.gradient(X, "log_loss", Y, shares())
    )
    data = _with_data(net, "log_loss", X, Y, relaxation=relaxation, step_size=0.7, max_relax_iter=3)
    assert gradient_alignment(*data).overall == pytest.approx(truth, abs=1e-6)


def test_float32_weights_are_looked_at_in_float64():
    net, X, Y = problem("tanh")
    rounded = [block.astype(np.float32) for block in net.blocks()]
    net = net.with_theta(np.concatenate([block.ravel().astype(float) for block in rounded]))
    model, y = twin(net, "squared_error", X, Y, dtype="float32")
    model.coefs_ = [coef.astype(np.float32) for coef in model.coefs_]
    model.intercepts_ = [bias.astype(np.float32) for bias in model.intercepts_]
    model.feedback_coefs_ = [coef.astype(np.float32) for coef in model.feedback_coefs_]
    wide, _ = twin(net, "squared_error", X, Y)
    narrow, exact = gradient_alignment(model, X, y), gradient_alignment(wide, X, y)
    assert narrow.overall == exact.overall
    assert narrow.slope == exact.slope
    assert model.coefs_[0].dtype == np.float32


def test_class_weights_weigh_the_samples():
    net, X, Y = problem("tanh", "log_loss")
    weight = {0: 1.0, 1: 5.0, 2: 0.5}
    model, y = twin(net, "log_loss", X, Y, class_weight=weight)
    parts = np.array([weight[label] for label in y])
    parts /= parts.sum()
    truth = net.theorem_1(X, "log_loss", Y, parts) @ net.gradient(X, "log_loss", Y, parts)
    assert gradient_alignment(model, X, y).slope == pytest.approx(truth, rel=1e-6)


def test_many_rows_are_the_mean_of_their_chunks():
    # More rows than settle at once; the same few again and again do not change the mean.
    net, X, Y = problem("relu", "log_loss")
    model, y = twin(net, "log_loss", X, Y)
    few = gradient_alignment(model, X, y)
    many = gradient_alignment(model, np.tile(X, (500, 1)), np.tile(y, 500))
    assert many.n_samples == 2500
    assert many.overall == pytest.approx(few.overall, rel=1e-10)
    assert many.slope == pytest.approx(few.slope, rel=1e-10)


def test_weak_feedback_through_many_layers_is_as_accurate():
    # γ = 1e-3 through five loops: ν of layer 1 is 1e-15 of the output's, and still exact.
    sizes = (3, 4, 4, 4, 4, 4, 2)
    net = random_net(sizes, "tanh", loop=1e-3, gain=1.0, seed=3)
    X, Y = random_task(3, sizes)
    nu = blocks_of(net, net.theorem_1(X, "squared_error", Y, shares(3)))
    model, y = twin(net, "squared_error", X, Y)
    found = gradient_alignment(model, X, y)
    assert np.linalg.norm(nu[0]) < 1e-13
    for block, of_nu in zip(found.blocks, nu, strict=True):
        assert block.nu_norm == pytest.approx(np.linalg.norm(of_nu), rel=1e-6, abs=0)


def test_strong_loops_behind_weak_feedback_are_settled():
    # What reaches the lower layers is small, and goes round there many times.
    sizes = (3, 4, 4, 4, 2)
    net = random_net(sizes, "tanh", loop=0.7, gain=1.0, seed=4)
    net = DenseNet("tanh", net.coefs, net.biases, [*net.feedback[:-1], 1e-10 * net.feedback[-1]])
    X, Y = random_task(3, sizes)
    nu = blocks_of(net, net.theorem_1(X, "squared_error", Y, shares(3)))
    found = gradient_alignment(*_with_data(net, "squared_error", X, Y))
    for block, of_nu in zip(found.blocks, nu, strict=True):
        assert block.nu_norm == pytest.approx(np.linalg.norm(of_nu), rel=1e-8, abs=0)


def test_outputs_at_their_targets_have_no_angle():
    net, X, _ = problem("tanh")
    Y = net.equilibrium(X)[:, net.span(net.n_layers)]
    net.coefs[-1][:] = 0
    net.biases[-1][:] = 0
    model, _ = twin(net, "squared_error", X, Y)
    found = gradient_alignment(model, X, np.zeros_like(Y))
    assert np.isnan(found.overall)
    assert found.slope == 0
    assert "-" in str(found)


def test_nothing_is_changed():
    net, X, Y = problem("tanh", "log_loss")
    model, y = twin(net, "log_loss", X, Y)
    X.flags.writeable = False
    before = {name: repr(value) for name, value in vars(model).items()}
    gradient_alignment(model, X, y)
    assert {name: repr(value) for name, value in vars(model).items()} == before


def test_labels_of_any_kind():
    net, X, Y = problem("relu", "log_loss")
    model, y = twin(net, "log_loss", X, Y)
    names = np.array(["cat", "dog", "emu"])
    named = EqPropClassifier(**model.get_params()).partial_fit(X, names[y], classes=names)
    named.coefs_, named.intercepts_ = model.coefs_, model.intercepts_
    named.feedback_coefs_ = model.feedback_coefs_
    assert gradient_alignment(named, X, names[y]).slope == gradient_alignment(model, X, y).slope


def test_an_update_whose_phases_run_away():
    # ν is a limit and exists; at β = -0.5 this network runs off to infinity.
    net, X, Y = problem("identity", tied=True, gain=0.78)
    model, y = twin(net, "squared_error", X, Y, nudging="centered")
    with pytest.warns(ConvergenceWarning, match="5 of 5 samples did not settle"):
        found = gradient_alignment(model, X, y)
    assert found.overall == pytest.approx(1.0, abs=1e-9)
    assert np.isnan(found.update)
    assert all(np.isnan(block.update_cosine) for block in found.blocks)
