"""One training step: plain SGD moves each block by rate · (ν - λ W), as written in the paper."""

import numpy as np
import pytest

from sklearn_eqprop._network import attenuations, feedback_gains
from sklearn_eqprop.exceptions import DivergenceError
from tests.dense_truth import LOSSES as TRUTH
from tests.dense_truth import random_net, random_task
from tests.engine import LOSSES, trainer_of

SIZES = (4, 6, 5, 3)
RATES = (0.3, 0.2, 0.1)
#: See `CENTERED_BETA`.
ACCURACY = 1e-8


def _trainer(net, loss, **settings):
    return trainer_of(net, loss, **{"learning_rates": RATES} | settings)


def _moves(net, trainer, X, Y, weight=None, rate_factor=1.0):
    """How far one step moves each block, and the loss it reports."""
    loss, _ = trainer.train_on(X, Y, weight, rate_factor, np.random.RandomState(0))
    parameters = trainer.network.parameters()
    pairs = zip(parameters, net.blocks(), strict=True)
    return parameters, [parameter.array - block for parameter, block in pairs], loss


def _theorem_blocks(net, X, Y, loss, shares):
    return net.with_theta(net.theorem_1(X, loss, Y, shares)).blocks()


def _assert_close(found, truth):
    for one, other in zip(found, truth, strict=True):
        assert np.abs(one - other).max() < ACCURACY


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_is_the_mean_update_times_the_rate_of_its_layer(loss, tied):
    net = random_net(SIZES, "tanh", tied=tied, gain=0.6)
    X, Y = random_task(4, SIZES, loss)
    nu = _theorem_blocks(net, X, Y, loss, np.full(4, 0.25))
    parameters, moves, found = _moves(net, _trainer(net, loss), X, Y, rate_factor=0.5)
    rates = [0.5 * RATES[parameter.layer - 1] for parameter in parameters]
    _assert_close(moves, [rate * block for rate, block in zip(rates, nu, strict=True)])
    output = net.split(net.equilibrium(X))[-1]
    assert abs(found - TRUTH[loss][0](output, Y).mean()) < 1e-13


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_weight_decay_is_synaptic_depression(tied):
    # Appendix A: the penalty α/2 ||W||² / n adds -α/n W to every weight, and nothing to biases.
    net = random_net(SIZES, "tanh", tied=tied, gain=0.6)
    X, Y = random_task(4, SIZES)
    alpha = 0.7
    nu = _theorem_blocks(net, X, Y, "squared_error", np.full(4, 0.25))
    parameters, moves, _ = _moves(net, _trainer(net, "squared_error", alpha=alpha), X, Y)
    truth = []
    for parameter, block, change in zip(parameters, net.blocks(), nu, strict=True):
        decay = 0.0 if parameter.role == "bias" else alpha / 4
        truth.append(RATES[parameter.layer - 1] * (change - decay * block))
    _assert_close(moves, truth)


def test_weight_decay_of_tied_weights_follows_the_gradient_of_the_penalised_objective():
    # Hard sigmoid, symmetric weights: the whole step is minus rate times d(J + penalty)/dθ.
    net = random_net(SIZES, "hard_sigmoid", tied=True, gain=0.5, seed=1)
    X, Y = random_task(4, SIZES)
    assert net.margin(net.equilibrium(X), X) > 1e-3
    alpha = 0.7
    shares = np.full(4, 0.25)
    gradient = net.with_theta(net.gradient(X, "squared_error", Y, shares)).blocks()
    trainer = _trainer(net, "squared_error", alpha=alpha, learning_rates=(0.2,) * 3)
    _, moves, _ = _moves(net, trainer, X, Y)
    weights = [*net.coefs, *(np.zeros_like(bias) for bias in net.biases)]
    _assert_close(
        moves, [-0.2 * (g + alpha / 4 * w) for g, w in zip(gradient, weights, strict=True)]
    )


def test_sample_weights_weigh_and_equal_repetition():
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES, "log_loss")
    weight = np.array([2.0, 1.0, 0.0, 3.0])
    repeated = np.repeat(np.arange(4), weight.astype(int))
    settings = {"alpha": 0.7}
    _, weighted, loss = _moves(net, _trainer(net, "log_loss", **settings), X, Y, weight)
    _, copied, loss_of_copies = _moves(
        net, _trainer(net, "log_loss", **settings), X[repeated], Y[repeated]
    )
    assert abs(loss - loss_of_copies) < 1e-13
    for one, other in zip(weighted, copied, strict=True):
        assert np.abs(one - other).max() < 1e-11
    _, plain, _ = _moves(net, _trainer(net, "log_loss", **settings), X, Y)
    assert max(np.abs(a - b).max() for a, b in zip(plain, weighted, strict=True)) > 1e-3


def test_fixed_feedback_stays_and_the_rest_moves_as_before():
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES)
    parameters, all_move, _ = _moves(net, _trainer(net, "squared_error"), X, Y)
    trainer = _trainer(net, "squared_error", feedback_learning="fixed")
    _, moves, _ = _moves(net, trainer, X, Y)
    for parameter, free, fixed in zip(parameters, all_move, moves, strict=True):
        if parameter.role == "feedback":
            assert not fixed.any()
            assert free.any()
        else:
            assert np.array_equal(fixed, free)


def test_coupled_feedback_takes_the_forward_step_transposed():
    # Kolen-Pollack with the gains at the start of the step; the decay of F's rate and alpha.
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES)
    alpha = 0.7
    trainer = _trainer(net, "squared_error", feedback_learning="kolen_pollack", alpha=alpha)
    gains = feedback_gains(trainer.network)
    _, moves, _ = _moves(net, trainer, X, Y)
    forward, feedback = moves[:3], moves[3:5]
    for index, (gain, move) in enumerate(zip(gains, feedback, strict=True)):
        apart = net.feedback[index] - gain * net.coefs[index + 1].T
        truth = gain * forward[index + 1].T - RATES[index + 1] * alpha / 4 * apart
        assert np.abs(move - truth).max() < 1e-14


def test_layerwise_rescale_divides_by_the_attenuation():
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES)
    options = {"feedback_learning": "fixed"}
    plain = _trainer(net, "squared_error", **options)
    scales = attenuations(plain.network.wiring, feedback_gains(plain.network))
    assert max(scales[:-1]) < 0.9
    parameters, moves, _ = _moves(net, plain, X, Y)
    rescaled = _trainer(net, "squared_error", layerwise_rescale=True, **options)
    _, larger, _ = _moves(net, rescaled, X, Y)
    for parameter, move, large in zip(parameters, moves, larger, strict=True):
        assert np.abs(large * scales[parameter.layer - 1] - move).max() < 1e-14


def test_a_loss_that_is_not_finite_changes_nothing():
    net = random_net(SIZES, "tanh")
    X, Y = random_task(4, SIZES)
    X[0, 0] = np.nan
    trainer = _trainer(net, "squared_error")
    with np.errstate(invalid="ignore"), pytest.raises(DivergenceError, match="not finite"):
        trainer.train_on(X, Y, None, 1.0, np.random.RandomState(0))
    for parameter, block in zip(trainer.network.parameters(), net.blocks(), strict=True):
        assert np.array_equal(parameter.array, block)
