"""Loss curve, relaxation curve and weights as images: the pictures show the numbers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop.diagnostics import LossCurveDisplay, RelaxationCurveDisplay, WeightsDisplay

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DISPLAYS = [LossCurveDisplay, RelaxationCurveDisplay, WeightsDisplay]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300] / 16, y[:300]


@pytest.fixture(scope="module")
def fitted(digits):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return EqPropClassifier((12,), max_iter=6, early_stopping=True, random_state=0).fit(*digits)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("display", DISPLAYS)
def test_axes_and_figure(display, fitted):
    drawn = display.from_estimator(fitted)
    assert isinstance(drawn, display)
    drawn.figure_.canvas.draw()
    figure, ax = plt.subplots()
    drawn = display.from_estimator(fitted, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert drawn.plot().ax_ is not ax
    with pytest.raises(NotFittedError, match="EqPropClassifier"):
        display.from_estimator(EqPropClassifier())


def test_loss_curve(fitted):
    drawn = LossCurveDisplay.from_estimator(fitted)
    (loss,) = drawn.ax_.lines
    assert_array_equal(loss.get_ydata(), fitted.loss_curve_)
    assert_array_equal(loss.get_xdata(), np.arange(1, 7))
    score, best = drawn.score_ax_.lines
    assert_array_equal(score.get_ydata(), fitted.validation_scores_)
    assert best.get_ydata() == [fitted.best_validation_score_]
    assert LossCurveDisplay([3.0, 2.0]).plot().score_ax_ is None


def test_relaxation_curve(fitted):
    drawn = RelaxationCurveDisplay.from_estimator(fitted)
    free, nudged = drawn.ax_.lines
    assert_array_equal(free.get_ydata(), fitted.relaxation_["free_steps"])
    assert_array_equal(nudged.get_ydata(), fitted.relaxation_["nudged_steps"])
    record = {"free_steps": [3, 9, 9], "free_unconverged": [0, 0.5, 0.2]}
    record |= {"nudged_steps": [2, 2, 2], "nudged_unconverged": [0, 0, 0]}
    lines = RelaxationCurveDisplay(record).plot().ax_.lines
    assert_array_equal(lines[1].get_xdata(), [2, 3])
    assert len(lines) == 3


def test_weights(fitted):
    drawn = WeightsDisplay.from_estimator(fitted, n_units=5)
    assert drawn.images.shape == (5, 8, 8)
    norms = np.linalg.norm(fitted.coefs_[0], axis=0)
    assert_array_equal(drawn.images[0].ravel(), fitted.coefs_[0][:, norms.argmax()])
    picture = drawn.ax_.images[0].get_array()
    assert picture.shape == (17, 26)
    assert_array_equal(picture[:8, :8], drawn.images[0])
    assert_array_equal(picture[9:, :8], drawn.images[3])
    low, high = drawn.ax_.images[0].get_clim()
    assert high == -low == np.abs(drawn.images).max()


def test_shapes_of_images(fitted, digits):
    assert WeightsDisplay.from_estimator(fitted, image_shape=(4, 16)).images.shape == (12, 4, 16)
    with pytest.raises(
        ValueError, match=r"64 inputs .* do not form an image of image_shape=\(3, 5\)"
    ):
        WeightsDisplay.from_estimator(fitted, image_shape=(3, 5))
    X, y = digits
    with pytest.raises(
        ValueError, match=r"62 inputs .* do not form a square image. Pass image_shape="
    ):
        WeightsDisplay.from_estimator(EqPropClassifier((3,), max_iter=1).fit(X[:, 2:], y))
    images = EqPropClassifier((Conv2D(5, 3), 4), input_shape=(8, 8), max_iter=1).fit(X, y)
    drawn = WeightsDisplay.from_estimator(images)
    assert drawn.images.shape == (5, 3, 3)
    known = {tuple(kernel.ravel()) for kernel in np.moveaxis(images.coefs_[0][:, :, 0], -1, 0)}
    assert {tuple(image.ravel()) for image in drawn.images} == known


@pytest.mark.parametrize("asked", [5, (1, 5, 1), "ab", (8.0, 8.0)])
def test_an_image_has_two_sides(fitted, asked):
    with pytest.raises(ValueError, match=r"image_shape=.* must be two integers"):
        WeightsDisplay.from_estimator(fitted, image_shape=asked)


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda d: d.__name__)
def test_displays_are_of_this_packages_estimators(display, fitted):
    for other in (MLPClassifier(), make_pipeline(fitted)):
        message = f"{display.__name__} needs .* is {type(other).__name__}"
        with pytest.raises(TypeError, match=message):
            display.from_estimator(other)
