"""alpha='auto': which rows the trial sees, what it chooses, and that it leaves no trace."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    make_friedman1,
)
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler, scale

from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._estimators.fitting import penalty
from sklearn_eqprop._estimators.fitting.penalty import FEWEST_EPOCHS, LEAST_ALPHA
from tests.own_losses import SquaredHinge

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training reached max_iter", "ignore:Training did not learn"
)

SETTINGS = {"hidden_layer_sizes": (12,), "learning_rate_init": 0.02, "max_iter": 30}
SETTINGS |= {"random_state": 0}


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def noisy_labels(share):
    X, y = standardised(load_breast_cancer)
    rng = np.random.RandomState(0)
    return X, np.where(rng.uniform(size=len(y)) < share, rng.randint(2, size=len(y)), y)


def noisy_targets(share):
    X, y = make_friedman1(500, random_state=0)
    noise = np.random.RandomState(1).standard_normal(500)
    y = (1 - share) * (y - y.mean()) / y.std() + share * noise
    return StandardScaler().fit_transform(X), y


#: Pure noise: whichever rows are held out, the trial finds it. There is one trial for each.
DATA = {
    "classes": (EqPropClassifier, *noisy_labels(1)),
    "numbers": (EqPropRegressor, *noisy_targets(1)),
}
EVERY = pytest.mark.parametrize("name", DATA)


@pytest.fixture
def seen(monkeypatch):
    """The rows that trials train on, and those that judge them."""
    found = []

    def parts(*arguments):
        pairs = list(original(*arguments))
        found.extend(pairs)
        return pairs

    original = penalty._parts
    monkeypatch.setattr(penalty, "_parts", parts)
    return found


# ---- which rows ----------------------------------------------------------------------------------


@EVERY
def test_a_fifth_of_the_rows_is_held_out(seen, name):
    estimator, X, y = DATA[name]
    estimator(**SETTINGS).fit(X, y)
    [(part, held_out)] = seen
    together = np.concatenate([part.X, held_out.X])
    assert_array_equal(np.unique(together, axis=0), np.unique(X, axis=0))
    held = {row.tobytes() for row in held_out.X}
    assert not held & {row.tobytes() for row in part.X}
    assert held_out.n_samples == pytest.approx(len(X) / 5, abs=2)


def test_every_class_is_held_out_alike(seen):
    X, y = standardised(load_iris)
    EqPropClassifier(**SETTINGS).fit(X[:130], y[:130])  # 50, 50 and 30 of the classes
    for _, held_out in seen:
        assert_array_equal(np.bincount(held_out.y), [10, 10, 6])


def test_few_rows_have_three_trials_with_different_held_out_rows(seen):
    X = np.random.RandomState(0).standard_normal((penalty.FEW_ROWS - 1, 3))
    EqPropRegressor(**SETTINGS).fit(X, X[:, 0])
    held_out = np.concatenate([held_out.X for _, held_out in seen])
    assert len(seen) == 3
    assert len(np.unique(held_out, axis=0)) == len(held_out) == 3 * int(0.2 * len(X))


def test_the_trial_never_trains_on_what_it_is_judged_by(seen, monkeypatch):
    X, y = standardised(load_iris)
    trained_on = []

    def train(config, rows, *arguments, **keywords):
        trained_on.append(rows)
        return original(config, rows, *arguments, **keywords)

    original = penalty.train
    monkeypatch.setattr(penalty, "train", train)
    EqPropClassifier(**SETTINGS).fit(X, y)
    n_checks = len(trained_on) // len(seen)
    parts = [part for part, _ in seen for _ in range(n_checks)]
    assert n_checks > 5
    assert all(rows is part for rows, part in zip(trained_on, parts, strict=True))


@EVERY
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_the_order_of_the_rows_does_not_matter(name, convert):
    estimator, X, y = DATA[name]
    order = np.random.RandomState(1).permutation(len(X))
    chosen = {estimator(**SETTINGS).fit(convert(X[rows]), y[rows]).alpha_ for rows in (..., order)}
    assert len(chosen) == 1


@EVERY
def test_the_seed_decides_which_rows_are_held_out(seen, name):
    estimator, X, y = DATA[name]
    for seed in (0, 0, 1):
        estimator(**SETTINGS | {"random_state": seed}).fit(X, y)
    first, again, other = (held_out.X for _, held_out in seen)
    assert_array_equal(first, again)
    assert not np.isin(other, first).all()


@EVERY
def test_equal_rows_stay_together(seen, name):
    estimator, X, y = DATA[name]
    twice = np.tile(np.arange(len(X)), 2)
    estimator(**SETTINGS).fit(X[twice], y[twice])
    [(part, held_out)] = seen
    assert not {row.tobytes() for row in held_out.X} & {row.tobytes() for row in part.X}


@EVERY
def test_rows_without_weight_do_not_count(name):
    estimator, X, y = DATA[name]
    weight = np.ones(len(X))
    weight[::4] = 0
    weighted = estimator(**SETTINGS).fit(X, y, sample_weight=weight)
    assert weighted.alpha_ == estimator(**SETTINGS).fit(X[weight > 0], y[weight > 0]).alpha_


def test_early_stopping_keeps_its_rows_out_of_the_trial(seen):
    X, y = standardised(load_breast_cancer)
    settings = SETTINGS | {"early_stopping": True, "validation_fraction": 0.3}
    EqPropClassifier(**settings).fit(X, y)
    for part, held_out in seen:
        assert part.n_samples + held_out.n_samples == len(X) - np.ceil(0.3 * len(X))


# ---- what is chosen ------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("n_rows", "n_columns"), [(1000, 30), (400, 20)])
def test_linear_networks_have_the_strength_of_bayesian_ridge(signal, n_rows, n_columns):
    # The ratio of precisions is the penalty on the sum over all rows.
    ratios = []
    for seed in range(3):
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((n_rows, n_columns))
        y = X @ rng.standard_normal(n_columns) * np.sqrt(signal / n_columns)
        y = scale(y + rng.standard_normal(n_rows))
        bayes = BayesianRidge().fit(X, y)
        alpha = EqPropRegressor((), random_state=seed).fit(X, y).alpha_
        ratios.append(alpha * n_rows / min(200, n_rows) * bayes.alpha_ / bayes.lambda_)
    assert 1 / 3 < np.exp(np.mean(np.log(ratios))) < 3


@pytest.mark.parametrize("signal", [3, 10, 100])
def test_a_long_trial_of_a_linear_network_finds_the_strength_of_bayesian_ridge(monkeypatch, signal):
    monkeypatch.setattr(penalty, "TRIAL_UPDATES", 1000)
    monkeypatch.setattr(penalty, "TRIAL_EPOCHS", (8, 250))
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1000, 30))
    y = scale(np.sqrt(signal) * X[:, 0] + rng.standard_normal(1000))
    bayes = BayesianRidge().fit(X, y)
    alpha = EqPropRegressor((), random_state=0, max_iter=500).fit(X, y).alpha_
    assert 0.5 < alpha * 5 * bayes.alpha_ / bayes.lambda_ < 2  # 5 minibatches in an epoch


def test_the_penalty_of_linear_networks_falls_with_the_signal():
    rng = np.random.RandomState(0)
    X, noise = rng.standard_normal((1000, 30)), rng.standard_normal(1000)
    chosen = [
        EqPropRegressor((), random_state=0).fit(X, np.sqrt(signal) * X[:, 0] + noise).alpha_
        for signal in (0.1, 1, 10, 100)
    ]
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0] > 8 * chosen[-1]


def test_the_penalty_grows_with_the_noise():
    models = [EqPropRegressor((50,), random_state=seed) for seed in range(3)]
    little, some, much = (
        np.median([model.fit(*noisy_targets(share)).alpha_ for model in models])
        for share in (0, 0.5, 1)
    )
    assert 3 * little < some < much


@pytest.mark.parametrize(
    ("estimator", "make"), [(EqPropClassifier, noisy_labels), (EqPropRegressor, noisy_targets)]
)
def test_what_noise_hides_is_learned_better_than_with_the_penalty_of_mlp(estimator, make):
    (X, noisy), (_, clean) = make(0.6), make(0)
    gains = []
    for seed in range(4):
        part, X_test, y, _, _, y_test = train_test_split(
            X, noisy, clean, test_size=0.5, random_state=seed
        )
        auto = estimator(random_state=0).fit(part, y)
        weak = estimator(random_state=0, alpha=1e-4).fit(part, y)
        gains.append(auto.score(X_test, y_test) - weak.score(X_test, y_test))
    assert np.mean(gains) > 0.04


def test_a_function_that_is_learned_slowly_is_learned_as_far():
    X = np.linspace(-3, 3, 200)[:, None]
    y = np.sin(4 * X[:, 0])
    auto, weak = (
        EqPropRegressor(random_state=0, alpha=alpha, max_iter=1000).fit(X, y).score(X, y)
        for alpha in ("auto", LEAST_ALPHA)
    )
    assert auto > weak - 0.1


@pytest.mark.parametrize("hidden", [(64, 64, 64), (32,) * 6])
def test_deep_networks_still_learn(hidden):
    X, y = load_digits(return_X_y=True)
    model = EqPropClassifier(hidden, random_state=0).fit(X[:600] / 16, y[:600])
    assert model.score(X[600:] / 16, y[600:]) > 0.6


def test_separable_classes_get_little_penalty():
    X = np.random.RandomState(0).standard_normal((200, 4))
    y = (X[:, 0] > 0).astype(int)
    X[:, 0] += np.where(y == 1, 2, -2)
    model = EqPropClassifier(random_state=0).fit(X, y)
    assert LEAST_ALPHA <= model.alpha_ < 0.1
    assert model.score(X, y) == 1


@pytest.mark.parametrize("n_rows", [2, 4, 9])
def test_few_rows_tell_nothing(n_rows):
    X = np.random.RandomState(0).standard_normal((n_rows, 3))
    y = np.arange(n_rows) % 2
    assert EqPropClassifier(**SETTINGS).fit(X, y).alpha_ == LEAST_ALPHA
    assert EqPropRegressor(**SETTINGS).fit(X, X[:, 0]).alpha_ == LEAST_ALPHA


def test_exclusive_or_is_learned():
    X, y = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]), [0, 1, 1, 0]
    assert EqPropClassifier((20,), max_iter=300, random_state=0).fit(X, y).score(X, y) == 1


def test_constant_targets_need_no_penalty():
    X = np.random.RandomState(0).standard_normal((60, 3))
    assert EqPropRegressor(**SETTINGS).fit(X, np.ones(60)).alpha_ < 0.1


def test_several_labels_and_several_numbers():
    X, y = noisy_targets(1)
    numbers = np.column_stack([y, -y])
    labels = (y[:, None] > np.quantile(y, [0.3, 0.6])).astype(int)
    assert EqPropRegressor(**SETTINGS, nudging="centered").fit(X, numbers).alpha_ > LEAST_ALPHA
    assert EqPropClassifier(**SETTINGS).fit(X, labels).alpha_ > LEAST_ALPHA


def test_own_losses_get_a_penalty_too():
    X, y = noisy_labels(0.5)
    assert EqPropClassifier(**SETTINGS, loss=SquaredHinge()).fit(X, y).alpha_ > 0.5


def test_a_trial_that_diverges_tells_nothing(monkeypatch):
    def diverging(*_, **__):
        raise penalty.DivergenceError("too far")

    monkeypatch.setattr(penalty, "train", diverging)
    X, y = standardised(load_iris)
    assert EqPropClassifier(**SETTINGS).fit(X, y).alpha_ == LEAST_ALPHA


# ---- no trace ------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_fit_with_the_chosen_number_is_the_same(name, shuffle):
    estimator, X, y = DATA[name]
    settings = SETTINGS | {"shuffle": shuffle, "nudging": "random_sign", "batch_size": 50}
    auto = estimator(**settings).fit(X, y)
    given = estimator(**settings, alpha=auto.alpha_).fit(X, y)
    assert given.alpha_ == auto.alpha_
    assert given.loss_curve_ == auto.loss_curve_
    for one, other in zip(given.coefs_, auto.coefs_, strict=True):
        assert_array_equal(one, other)


@EVERY
def test_warm_starts_and_partial_fit_keep_it(name):
    estimator, X, y = DATA[name]
    model = estimator(**SETTINGS, warm_start=True).fit(X, y)
    chosen = model.alpha_
    assert chosen > LEAST_ALPHA
    shuffled = np.random.RandomState(0).permutation(y)  # a trial would choose another number
    assert model.fit(X, shuffled).alpha_ == chosen
    assert model.partial_fit(X, y).alpha_ == chosen
    assert model.set_params(alpha=0.5).partial_fit(X, y).alpha_ == 0.5


def test_partial_fit_has_no_trial():
    X, y = standardised(load_iris)
    assert EqPropClassifier(**SETTINGS).partial_fit(X, y, [0, 1, 2]).alpha_ == LEAST_ALPHA


def test_short_fits_have_no_trial(seen):
    X, y = standardised(load_iris)
    settings = SETTINGS | {"max_iter": FEWEST_EPOCHS - 1}
    assert EqPropClassifier(**settings).fit(X, y).alpha_ == LEAST_ALPHA
    assert not seen


def test_an_interrupt_in_the_trial_changes_nothing(monkeypatch):
    def interrupted(*arguments, **keywords):
        trained = original(*arguments, **keywords)
        ended = {**vars(trained.outcome), "ended_by": penalty.EndedBy.INTERRUPT}
        return penalty.replace(trained, outcome=type(trained.outcome)(**ended))

    original = penalty.train
    monkeypatch.setattr(penalty, "train", interrupted)
    model = EqPropClassifier(**SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*standardised(load_iris))
    assert not hasattr(model, "coefs_")


def test_verbose_tells_the_choice(capsys):
    model = EqPropRegressor(**SETTINGS, verbose=True).fit(*standardised(load_diabetes))
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("alpha='auto': in a trial of 15 epochs, the gap between the losses ")
    assert first.endswith(f"alpha_={model.alpha_:g}")
    assert second.startswith("Epoch   1")


def test_other_words_are_refused():
    with pytest.raises(ValueError, match=r"'alpha' parameter of EqPropClassifier must be .*'auto'"):
        EqPropClassifier(alpha="none").fit([[0.0], [1]], [0, 1])
