"""Anderson acceleration: safeguarded, and faster than what it accelerates."""

from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_eqprop._backend import NumpyBackend
from sklearn_eqprop._relaxation import Anderson, Batch, Euler, FreeField, SettleOptions
from sklearn_eqprop._relaxation.anderson import MEMORY, PLAIN_STEPS, RIDGE, _record, _remember
from tests.dense_graph import GRAPHS, random_graph_net
from tests.dense_truth import DenseNet, random_net, random_task
from tests.engine import joined, network_of, settle

SIZES = (4, 8, 6, 3)


def _unruly(activation, seed):
    """Strong feedback of the opposite sign, B = -2 F^T: Euler with ε = 1 goes round in circles."""
    net = random_net(SIZES, activation, gain=1.5, seed=seed)
    feedback = [-2 * coef.T for coef in net.coefs[1:]]
    return DenseNet(activation, net.coefs, net.biases, feedback)


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_never_returns_a_worse_residual_than_it_saw(activation, seed, step_size):
    # A run of k + 1 steps sees all that a run of k steps saw, so the residual cannot rise.
    net = _unruly(activation, seed)
    X, _ = random_task(6, SIZES)
    assert settle(net, X, "euler", tolerance=1e-9, max_iter=300).converged.sum() < 5
    best = net.residual(np.zeros((6, net.ends[-1])), X)
    for max_iter in range(1, 25):
        result = settle(
            net, X, "anderson", step_size=step_size, tolerance=1e-300, max_iter=max_iter
        )
        assert (result.residual <= best).all()
        truth = net.residual(joined(result.states), X)
        assert np.abs(truth - result.residual).max() < 1e-14
        best = result.residual


@pytest.mark.parametrize(("step_size", "share"), [(1.0, 0.85), (0.5, 1.0)])
@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh"])
def test_settles_most_samples_that_go_round_in_circles_by_plain_steps(activation, step_size, share):
    converged = []
    for seed in range(5):
        net = _unruly(activation, seed)
        X, _ = random_task(20, SIZES, seed=seed)
        result = settle(net, X, "anderson", step_size=step_size, tolerance=1e-9, max_iter=300)
        assert net.residual(joined(result.states), X)[result.converged].max() < 1.01e-9
        converged.append(result.converged)
    assert np.mean(converged) >= share


def test_its_first_step_is_the_step_it_accelerates():
    net = random_net(SIZES, "hard_sigmoid")
    X, _ = random_task(6, SIZES)
    options = {"step_size": 0.7, "tolerance": 1e-300, "max_iter": 1}
    ours = settle(net, X, "anderson", **options)
    euler = settle(net, X, "euler", **options)
    better = euler.residual < net.residual(np.zeros((6, net.ends[-1])), X)
    assert better.any()
    assert np.array_equal(joined(ours.states)[better], joined(euler.states)[better])


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "hard_sigmoid"])
def test_needs_far_fewer_steps_on_a_slow_network(activation):
    # Tied weights at loop gain 0.95: Euler's slowest mode shrinks by 0.975 a step when ε = 0.5.
    net = random_net((4, 8, 3), activation, tied=True, gain=0.95)
    X, _ = random_task(6, (4, 8, 3))
    euler = settle(net, X, "euler", step_size=0.5, tolerance=1e-10)
    ours = settle(net, X, "anderson", step_size=0.5, tolerance=1e-10)
    assert euler.converged.all()
    assert ours.converged.all()
    assert euler.n_steps.max() > 150
    assert 4 * ours.n_steps.max() < euler.n_steps.max()


class _Cliff:
    """A push on one linear unit, almost flat below 2, and not a number beyond 50.

    The secant through the first two states points far over the cliff.
    """

    def velocity(self, drive, output):
        overflow = np.where(output > 50, np.nan, 0.0)
        return drive - 2 + np.where(output < 2, 2 - 0.01 * output, 3.98 - output) + overflow

    def resolve(self, drive, output):
        pytest.fail("Anderson acceleration takes velocities: it never solves the push")

    def take(self, rows):
        return self


def test_one_overflowing_extrapolation_does_not_end_the_acceleration():
    # From s = 0 with ε = 0.1: f falls by 0.2 % over the first step, so the secant jumps to about
    # 200. From there on it has to accelerate again, not plod on with the history of a non-number.
    net = DenseNet("identity", [np.zeros((1, 1))], [np.array([2.0])])
    network = network_of(net)
    X = np.zeros((1, 1))

    def run(method):
        field = FreeField(network, network.clamp(X), 1, _Cliff())
        return method(0.1).settle(field, network.zero_states(1), np.full(1, 1e-10), 1000)

    ours, euler = run(Anderson), run(Euler)
    assert ours.converged.all()
    assert euler.converged.all()
    assert abs(ours.states[0][0, 0] - euler.states[0][0, 0]) < 1e-8
    assert 2 * ours.n_steps[0] < euler.n_steps[0]


def _tied(activation, gain, sizes):
    return lambda seed: random_net(sizes, activation, tied=True, gain=gain, seed=seed)


THREE_HIDDEN, WIDE = (20, 30, 30, 30, 5), (20, 60, 60, 5)
#: One fixed point a sample.
CALM = {
    "tied hard sigmoid": _tied("hard_sigmoid", 0.9, THREE_HIDDEN),
    "tied tanh": _tied("tanh", 0.8, WIDE),
    "weak loops": lambda seed: random_net(WIDE, "hard_sigmoid", loop=0.1, seed=seed),
    "weak loops, tanh": lambda seed: random_net(WIDE, "tanh", loop=0.1, seed=seed),
    "ring": lambda seed: random_graph_net(GRAPHS["ring"], "hard_sigmoid", seed=seed),
    "ring, relu": lambda seed: random_graph_net(GRAPHS["ring"], "relu", seed=seed),
    "laterals": lambda seed: random_graph_net(GRAPHS["lateral inhibition"], "tanh", seed=seed),
}
#: Large tied weights: many units at a bound or saturated, several fixed points, slow in between.
RUGGED = {
    "hard sigmoid": _tied("hard_sigmoid", 2, THREE_HIDDEN),
    "wide hard sigmoid": _tied("hard_sigmoid", 2, WIDE),
    "tanh": _tied("tanh", 2, THREE_HIDDEN),
    "wide tanh": _tied("tanh", 2, WIDE),
}


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("make", [*CALM.values(), *RUGGED.values()], ids=[*CALM, *RUGGED])
def test_settles_where_plain_steps_settle_in_not_many_more(make, step_size):
    for seed in range(3):
        net = make(seed)
        X, _ = random_task(20, (net.coefs[0].shape[0], 1), seed=seed)
        options = {"step_size": step_size, "tolerance": 1e-9, "max_iter": 500}
        euler = settle(net, X, "euler", **options)
        ours = settle(net, X, "anderson", **options)
        assert euler.converged.any()
        assert ours.converged[euler.converged].all(), seed
        more = ours.n_steps - euler.n_steps
        assert np.median(more) <= 0
        assert (more[euler.converged] <= 3 + 0.25 * euler.n_steps[euler.converged]).mean() > 0.9
        assert net.residual(joined(ours.states), X)[ours.converged].max() < 1.01e-9


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@pytest.mark.parametrize("make", CALM.values(), ids=CALM)
def test_fixed_points_are_those_of_the_dense_system(make, step_size):
    net = make(7)
    X, _ = random_task(20, (net.coefs[0].shape[0], 1), seed=7)
    result = settle(net, X, "anderson", step_size=step_size, tolerance=1e-13)
    assert result.converged.all()
    assert np.abs(joined(result.states) - net.equilibrium(X)).max() < 1e-10


@pytest.mark.parametrize("make", CALM.values(), ids=CALM)
def test_no_sample_depends_on_the_others_while_it_extrapolates(make):
    net = make(3)
    X, _ = random_task(12, (net.coefs[0].shape[0], 1), seed=3)
    X *= np.logspace(-3, 1, 12)[:, None]
    together = settle(net, X, "anderson", tolerance=1e-10)
    assert np.unique(together.n_steps).size > 1
    assert together.n_steps.max() > PLAIN_STEPS + 1
    for row in range(12):
        alone = settle(net, X[[row]], "anderson", tolerance=1e-10)
        assert alone.n_steps[0] == together.n_steps[row]
        apart = joined(alone.states)[0] - joined(together.states)[row]
        assert np.abs(apart).max() < 1e-11


@pytest.mark.parametrize("make", RUGGED.values(), ids=RUGGED)
def test_where_it_settles_newton_stays(make):
    net = make(7)
    X, _ = random_task(20, (net.coefs[0].shape[0], 1), seed=7)
    result = settle(net, X, "anderson", tolerance=1e-11)
    assert result.converged.mean() > 0.8
    found, X = joined(result.states)[result.converged], X[result.converged]
    assert np.abs(found - net.equilibrium(X, start=found)).max() < 1e-7


def _ridge_solution(images, changes, change):
    """What to subtract, by a dense solve for one sample; rows are differences."""
    lengths = np.linalg.norm(changes, axis=1)[:, None]
    unit, of_image = changes / lengths, images / lengths
    return np.linalg.solve(unit @ unit.T + RIDGE * np.eye(len(unit)), unit @ change) @ of_image


def _batch(n_samples, n_units):
    """Samples at zero, in a field without bounds, for which `measure` is never asked."""
    field = SimpleNamespace(
        backend=NumpyBackend(),
        network=SimpleNamespace(layer_sizes=(n_units,)),
        project=lambda layer, state, out: state,
    )
    start = [np.zeros((n_samples, n_units))]
    batch = Batch(field, start, from_rest=True, downward=False, options=SettleOptions())
    batch.memory = Anderson(1.0).begin(batch)
    return batch


def test_the_ring_holds_the_last_differences_and_forgets_by_sample():
    rng = np.random.RandomState(0)
    n_samples, n_units, n_steps, forgets_at = 3, 11, 2 * MEMORY + 3, 2 * MEMORY
    batch = _batch(n_samples, n_units)
    path = batch.memory
    images, changes = rng.standard_normal((2, n_steps, n_samples, n_units))
    changes *= np.logspace(0, -3, n_steps)[:, None, None]
    path.waits = np.array([0, 0, 1])
    for step in range(n_steps):
        is_good = np.array([True, step != forgets_at, True])
        # What is taken back makes no difference: the sample stands where it stood.
        batch.n_steps = PLAIN_STEPS + step
        moved = images[step] * is_good[:, None], changes[step] * is_good[:, None]
        _remember(batch, *moved, is_good)
        path.image, path.change = rng.standard_normal((2, n_samples, n_units))
        Anderson(1.0).advance(batch)
        correction = path.image - batch.states[0]
        for sample in range(2):
            first = max(0, step + 1 - MEMORY)
            if sample == 1 and step >= forgets_at:
                first = forgets_at + 1
            used = slice(first, step + 1)
            truth = _ridge_solution(
                images[used, sample], changes[used, sample], path.change[sample]
            )
            np.testing.assert_allclose(correction[sample], truth, atol=1e-9)
        assert (correction[2] == 0).all()


def test_a_failed_extrapolation_is_taken_back_and_more_plain_steps_follow_each_time():
    # Extrapolations always end at a larger residual, plain steps at the same: never a new least.
    batch = _batch(1, 1)
    path = batch.memory
    extrapolated, stands_at = [], []
    for step in range(60):
        batch.n_steps = step
        failed = bool(path.extrapolated[0])
        image = np.array([[-1.0 if failed else np.sqrt(step)]])
        _record(batch, np.zeros((1, 1)), image, np.array([2.0 if failed else 1.0]))
        Anderson(1.0).advance(batch)
        if failed:
            stands_at.append(batch.states[0][0, 0] == np.sqrt(step - 1))
        extrapolated.append(bool(path.extrapolated[0]))
    tries = np.flatnonzero(extrapolated)
    assert stands_at
    assert all(stands_at)
    assert tries[0] == PLAIN_STEPS
    assert np.array_equal(np.diff(tries), [2, 3, 5, 9, 17][: len(tries) - 1])
    assert len(tries) >= 4
