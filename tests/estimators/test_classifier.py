"""EqPropClassifier: what it predicts, and how its outputs hang together."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler

import sklearn_eqprop._estimators.data.held_out as held_out_module
from sklearn_eqprop import EqPropClassifier

pytestmark = pytest.mark.filterwarnings("ignore:Training reached max_iter")
LOSSES = pytest.mark.parametrize("loss", ["log_loss", "squared_error"])


def small(**parameters):
    settings = {"hidden_layer_sizes": (12,), "learning_rate_init": 0.01, "max_iter": 60}
    return EqPropClassifier(**settings | {"random_state": 0} | parameters)


@LOSSES
def test_binary_outputs_agree(binary, loss):
    X, y = binary
    model = small(loss=loss).fit(X, y)
    decision, proba, predicted = (
        model.decision_function(X),
        model.predict_proba(X),
        model.predict(X),
    )
    assert decision.shape == (80,)
    assert proba.shape == (80, 2)
    assert model.n_outputs_ == 2
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert (proba >= 0).all()
    assert_array_equal(predicted, model.classes_[(decision > 0).astype(int)])
    assert_array_equal(predicted, model.classes_[proba.argmax(axis=1)])
    assert model.score(X, y) > 0.9


@LOSSES
def test_multiclass_outputs_agree(three_classes, loss):
    X, y = three_classes
    model = small(loss=loss).fit(X, y)
    decision, proba, predicted = (
        model.decision_function(X),
        model.predict_proba(X),
        model.predict(X),
    )
    assert decision.shape == proba.shape == (120, 3)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert (proba >= 0).all()
    assert_array_equal(predicted, model.classes_[decision.argmax(axis=1)])
    assert_array_equal(predicted, model.classes_[proba.argmax(axis=1)])
    assert model.score(X, y) > 0.85


@LOSSES
def test_multilabel_outputs_agree(multilabel, loss):
    X, Y = multilabel
    model = small(loss=loss, max_iter=100).fit(X, Y)
    decision, proba, predicted = (
        model.decision_function(X),
        model.predict_proba(X),
        model.predict(X),
    )
    assert decision.shape == proba.shape == predicted.shape == (120, 3)
    assert ((proba >= 0) & (proba <= 1)).all()
    assert_array_equal(predicted, decision > 0)
    assert_array_equal(predicted, proba > 0.5)
    assert (predicted == Y).mean() > 0.9
    assert_array_equal(model.classes_, [0, 1, 2])


def test_log_loss_probabilities_are_the_softmax_of_the_decision_function(three_classes):
    X, y = three_classes
    model = small(max_iter=5).fit(X, y)
    grown = np.exp(model.decision_function(X))
    assert_allclose(model.predict_proba(X), grown / grown.sum(axis=1, keepdims=True), rtol=1e-10)


@LOSSES
def test_log_probabilities(three_classes, loss):
    X, y = three_classes
    model = small(loss=loss).fit(X, y)
    with np.errstate(divide="ignore"):
        expected = np.log(model.predict_proba(X))
    assert_array_equal(model.predict_log_proba(X), expected)


@pytest.mark.parametrize(
    "names",
    [
        np.array(["zebra", "ant", "mole"]),
        np.array(["zebra", "ant", "mole"], dtype=object),
        np.array([7, -3, 40]),
        np.array([2.0, 1.0, 0.0]),
    ],
    ids=["str", "object", "int", "float"],
)
def test_labels_of_any_kind_come_back(three_classes, names):
    X, y = three_classes
    model = small().fit(X, names[y])
    assert_array_equal(model.classes_, np.sort(names))
    predicted = model.predict(X)
    # As with MLPClassifier, strings in an object array come back as a string array.
    assert predicted.dtype.kind == ("U" if names.dtype == object else names.dtype.kind)
    assert (predicted == names[y]).mean() > 0.85
    # Column k of the probabilities belongs to classes_[k].
    best = model.predict_proba(X).argmax(axis=1)
    assert (model.classes_[best] == names[y]).mean() > 0.85


def test_boolean_labels(binary):
    X, y = binary
    model = small().fit(X, y == 1)
    assert model.classes_.dtype == bool
    assert model.predict(X).dtype == bool
    assert model.score(X, y == 1) > 0.9


def test_naming_of_the_classes_changes_nothing_but_names(three_classes):
    X, y = three_classes
    plain = small(max_iter=10).fit(X, y)
    named = small(max_iter=10).fit(X, np.array(["a", "b", "c"])[y])
    assert_array_equal(plain.predict_proba(X), named.predict_proba(X))


def test_column_vector_labels_warn_and_work(binary):
    X, y = binary
    with pytest.warns(UserWarning, match="column-vector"):
        model = small(max_iter=3).fit(X, y.reshape(-1, 1))
    assert_array_equal(model.predict(X), small(max_iter=3).fit(X, y).predict(X))


def test_no_hidden_layer_is_a_linear_classifier(three_classes):
    X, y = three_classes
    model = small(hidden_layer_sizes=()).fit(X, y)
    assert len(model.coefs_) == 1
    assert_allclose(
        model.decision_function(X), X @ model.coefs_[0] + model.intercepts_[0], rtol=1e-10
    )
    with pytest.raises(ValueError, match="hidden_layer_sizes is empty"):
        model.transform(X)


def test_early_stopping_keeps_the_best_weights(three_classes, monkeypatch):
    X, y = three_classes
    flipped = np.where(np.random.RandomState(0).uniform(size=120) < 0.3, (y + 1) % 3, y)
    held_out = []
    original = held_out_module.train_test_split

    def remembering(*arrays, **options):
        parts = original(*arrays, **options)
        held_out.append(parts[1])
        return parts

    monkeypatch.setattr(held_out_module, "train_test_split", remembering)
    model = small(
        early_stopping=True,
        validation_fraction=0.3,
        learning_rate_init=0.1,
        batch_size=10,
        n_iter_no_change=8,
        max_iter=100,
    ).fit(X, flipped)
    (rows,) = held_out
    scores = model.validation_scores_
    assert scores[-1] < max(scores)  # or this test shows nothing
    found = accuracy_score(flipped[rows], model.predict(X[rows]))
    assert found == pytest.approx(max(scores), abs=1e-12)
    assert model.best_loss_ is None
    assert len(scores) == model.n_iter_ < 100


def test_class_weight_dict_is_sample_weight(three_classes):
    X, y = three_classes
    by_class = {0: 1.0, 1: 3.0, 2: 0.5}
    weighted = small(max_iter=8, class_weight=by_class).fit(X, y)
    expected = small(max_iter=8).fit(X, y, sample_weight=np.array([1.0, 3.0, 0.5])[y])
    unweighted = small(max_iter=8).fit(X, y)
    assert_array_equal(weighted.coefs_[0], expected.coefs_[0])
    assert not np.array_equal(weighted.coefs_[0], unweighted.coefs_[0])


def test_class_weight_multiplies_sample_weight(three_classes):
    X, y = three_classes
    own = np.random.RandomState(0).uniform(0.5, 2, size=120)
    both = small(max_iter=8, class_weight={0: 1, 1: 3, 2: 2}).fit(X, y, own)
    expected = small(max_iter=8).fit(X, y, own * np.array([1, 3, 2])[y])
    assert_array_equal(both.coefs_[0], expected.coefs_[0])


def test_balanced_class_weight_evens_out_the_classes(binary):
    X, y = binary
    keep = (y == 0) | (np.arange(80) < 30)
    X, y = X[keep], y[keep]
    counts = np.bincount(y)
    balanced = small(max_iter=8, class_weight="balanced").fit(X, y)
    expected = small(max_iter=8).fit(X, y, sample_weight=(len(y) / (2 * counts))[y])
    assert_allclose(balanced.coefs_[0], expected.coefs_[0], rtol=1e-10)


def test_class_weight_zero_is_a_class_left_out_of_the_cost(three_classes):
    X, y = three_classes
    model = small(class_weight={0: 1, 1: 1, 2: 0}, batch_size=7).fit(X, y)
    assert not (model.predict(X[y == 2]) == 2).all()
    assert model.score(X[y != 2], y[y != 2]) > 0.8


@pytest.mark.parametrize(
    ("class_weight", "names"),
    [({0: 1, 1: -2, 2: 1}, "-2"), ({0: 0, 1: 0, 2: 0}, "0"), ({0: np.nan, 1: 1, 2: 1}, "nan")],
)
def test_class_weight_that_makes_no_sense_is_refused(three_classes, class_weight, names):
    with pytest.raises(ValueError, match=f"class_weight.*{names}"):
        small(max_iter=2, class_weight=class_weight).fit(*three_classes)


def test_class_weight_for_unknown_class_is_refused(three_classes):
    with pytest.raises(ValueError, match="class_weight"):
        small(max_iter=2, class_weight={0: 1, 1: 1, 5: 1}).fit(*three_classes)


def test_class_weight_is_refused_for_several_labels(multilabel):
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported for multilabel"):
        small(class_weight="balanced").fit(*multilabel)


def test_sparse_label_matrix_is_taken(multilabel):
    from scipy.sparse import csr_matrix

    X, Y = multilabel
    dense, sparse = small(max_iter=3).fit(X, Y), small(max_iter=3).fit(X, csr_matrix(Y))
    assert_array_equal(dense.predict_proba(X), sparse.predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@LOSSES
def test_probabilities_follow_the_type_of_the_inputs(three_classes, dtype, loss):
    X, y = three_classes
    model = small(loss=loss, max_iter=5).fit(X.astype(dtype), y)
    assert model.predict_proba(X.astype(dtype)).dtype == dtype
    assert model.decision_function(X.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("relaxation", ["gauss_seidel", "euler", "anderson"])
def test_every_relaxation_settles_and_learns_the_same(relaxation):
    X, y = make_blobs(n_samples=100, random_state=0)
    X = StandardScaler().fit_transform(X)
    settings = {"hidden_layer_sizes": (50,), "relax_tol": 1e-9}
    model = small(relaxation=relaxation, **settings).fit(X, y)
    assert max(model.relaxation_["free_unconverged"]) == 0
    assert max(model.relaxation_["nudged_unconverged"]) == 0
    expected = small(**settings).fit(X, y)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-3)
