"""
==========================================
Handwritten digits without backpropagation
==========================================

This example trains ``EqPropClassifier`` on the 1,797 digits of scikit-learn, beside scikit-learn's
``MLPClassifier`` on the same split. It searches over ``beta`` and ``alpha``, and draws what the
network learned. Run it with ``python examples/plot_digits.py``. It takes well under a minute on two
cores and writes ``digits.png`` into the current folder.
"""

import copy
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sklearn_eqprop import EqPropClassifier

HIDDEN = (100,)
EPOCHS = 30
LONGEST = 200  # the default of both estimators
GRID = {"beta": [0.1, 0.5, 1.0], "alpha": ["auto", 1.0]}
N_JOBS = 2
SWEEPS = range(1, 61)

begin = time.perf_counter()
# Small matrix products like these are no faster on several threads, and far slower if other
# programs use the same cores.
limits = threadpool_limits(1)


def heading(text):
    print(f"\n{text}\n{'-' * len(text)}")


# %%
# Training, with progress
# -----------------------
#
# With ``learning_rate="cosine"`` the steps become smaller and smaller, so 30 epochs are enough.
# The numbers after "sweeps" say how long the network settled in the free and in the nudged phase,
# as a mean over the images.


def short_training(**settings):
    return EqPropClassifier(
        HIDDEN,
        learning_rate="cosine",
        learning_rate_init=0.003,
        max_iter=EPOCHS,
        random_state=0,
        **settings,
    )


X, y = load_digits(return_X_y=True)
split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
X_train, X_test, y_train, y_test = split

heading("1. Training, with progress")
print(f"{len(X_train):,} images of 8 x 8 pixels, {HIDDEN[0]} hidden units, {EPOCHS} epochs.\n")
scaler = StandardScaler().fit(X_train)
short_training(verbose=True).fit(scaler.transform(X_train), y_train)

# %%
# Accuracy, beside MLPClassifier
# ------------------------------
#
# All three models see the same training images, and are judged on the same test images.


def compare(models, X_train, X_test, y_train, y_test):
    """Fit every model after a scaler; print a line for each and return the fitted pipelines."""
    print(f"{'':38} {'epochs':>6} {'seconds':>8} {'test accuracy':>14}")
    fitted = []
    for name, model in models:
        start = time.perf_counter()
        pipeline = make_pipeline(StandardScaler(), model).fit(X_train, y_train)
        seconds = time.perf_counter() - start
        accuracy = pipeline.score(X_test, y_test)
        print(f"{name:38} {model.n_iter_:6d} {seconds:8.1f} {accuracy:13.1%}", flush=True)
        fitted.append(pipeline)
    return fitted


heading(f"2. Accuracy on {len(X_test)} images not seen in training")
eqprop, _, mlp = compare(
    [
        ("EqPropClassifier, defaults", EqPropClassifier(HIDDEN, max_iter=LONGEST, random_state=0)),
        (f"EqPropClassifier, {EPOCHS} epochs as above", short_training()),
        ("MLPClassifier, defaults", MLPClassifier(HIDDEN, max_iter=LONGEST, random_state=0)),
    ],
    *split,
)
print(f"One image is {1 / len(X_test):.1%}; differences of about 1% are within chance.")

# %%
# A grid search
# -------------
#
# ``beta``, the strength of the nudge, hardly changes the score. ``alpha``, the penalty on large
# weights, matters more if the data are noisy.


def grid_table(results, grid):
    """Return lines of a table of a grid search over two parameters: mean ± deviation."""
    (row_name, rows), (column_name, columns) = grid.items()
    cells = {}
    for parameters, mean, std in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        by_name = {name.rpartition("__")[2]: value for name, value in parameters.items()}
        cells[by_name[row_name], by_name[column_name]] = f"{100 * mean:.1f} ± {100 * std:.1f} %"
    lines = [" " * 12 + "".join(f"{f'{column_name} {column}':>18}" for column in columns)]
    for row in rows:
        line = f"{f'{row_name} {row}':12}"
        lines.append(line + "".join(f"{cells[row, column]:>18}" for column in columns))
    return lines


heading("3. Grid search over beta and alpha, 3-fold, training images only")
grid = {f"eqpropclassifier__{name}": values for name, values in GRID.items()}
start = time.perf_counter()
search = GridSearchCV(make_pipeline(StandardScaler(), short_training()), grid, cv=3, n_jobs=N_JOBS)
search.fit(X_train, y_train)
print("\n".join(grid_table(search.cv_results_, GRID)))
best = ", ".join(f"{name} = {search.best_params_[f'eqpropclassifier__{name}']}" for name in GRID)
print(
    f"Best: {best}; {search.score(X_test, y_test):.1%} of the test images "
    f"({time.perf_counter() - start:.0f} s for {3 * len(search.cv_results_['params'])} fits)."
)

# %%
# How the network settles
# -----------------------
#
# The residual is the largest movement of a unit; it is 0 at the equilibrium. All three relaxations
# reach the same equilibrium. The default needs the fewest sweeps.

#: Relaxation, its step size, its name in the picture.
RELAXATIONS = (
    ("gauss_seidel", 1.0, "Gauss-Seidel sweeps (default)"),
    ("anderson", 1.0, "Anderson steps"),
    ("euler", 0.5, "Euler steps, ε = 0.5 (paper)"),
)


def settling(model, X, relaxation, step_size, sweeps):
    """Return the residuals after each number of sweeps, shape (len(sweeps), n_samples)."""
    watched = copy.deepcopy(model).set_params(
        relaxation=relaxation,
        step_size=step_size,
        relax_tol=1e-15,  # below rounding: only the number of sweeps ends the phase
    )
    with warnings.catch_warnings():
        # The network is stopped before it has settled on purpose.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.stack([watched.set_params(max_relax_iter=n).relax(X).residual for n in sweeps])


heading("4. Settling of the trained network")
standardised = eqprop[0].transform(X_test)
curves = [settling(eqprop[-1], standardised, name, size, SWEEPS) for name, size, _ in RELAXATIONS]
for (_, _, name), residual in zip(RELAXATIONS, curves, strict=True):
    settled = np.flatnonzero(residual.max(axis=1) < 1e-3)
    needed = f"{SWEEPS[settled[0]]}" if settled.size else f"more than {SWEEPS[-1]}"
    print(f"{name + ':':32} {needed} until every residual is below 0.001")

# %%
# What the network learned
# ------------------------
#
# The picture has four parts:
#
# * The patterns of hidden units. The inputs are standardised, so a weight says how strongly a unit
#   is driven when a pixel moves by one standard deviation. The second half shows the covariance of
#   every pixel with the drive of the unit: how the image changes when the drive increases.
# * The training loss of both networks.
# * How the network settles: the residual after each number of sweeps, for the three relaxations.
# * The confusion matrix.


def features(pipeline, X, n_units):
    """Return the weights of the most used hidden units, and the pixel patterns of their drive.

    Returns two arrays of shape (n_units, n_features).
    """
    scaler, model = pipeline[0], pipeline[-1]
    standardised = scaler.transform(X)
    activity = model.transform(standardised)[:, : model.coefs_[0].shape[1]]
    use = activity.std(axis=0) * np.linalg.norm(model.coefs_[1], axis=1)
    weights = model.coefs_[0][:, np.argsort(-use)[:n_units]]
    # A constant pixel has no information. Its weights keep their initial values.
    weights = weights * (standardised.std(axis=0) > 0)[:, None]
    drive = standardised @ weights  # its mean is 0, like that of the standardised pixels
    patterns = X.T @ drive / X.shape[0]
    return weights.T, patterns.T


def draw_features(figure, weights, patterns):
    n_columns = weights.shape[0] // 2
    halves = figure.subfigures(2, 1)
    titles = (
        f"Weights from the pixels to {len(weights)} hidden units (red: +, blue: −)",
        "Pixels that change with the drive of the same units (red: brighter, blue: darker)",
    )
    for half, images, title in zip(halves, (weights, patterns), titles, strict=True):
        half.suptitle(title, fontsize="medium")
        axes = half.subplots(2, n_columns)
        for ax, image in zip(axes.flat, images, strict=True):
            limit = np.abs(image).max()
            ax.imshow(image.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set(xticks=[], yticks=[])


def draw_losses(figure, models):
    ax = figure.subplots()
    for name, model in models:
        epochs = np.arange(1, len(model.loss_curve_) + 1)
        ax.semilogy(epochs, model.loss_curve_, label=name)
    ax.set(xlabel="epoch", ylabel="training loss (cross-entropy + L2)", title="Training")
    ax.grid(alpha=0.3)
    ax.legend()


def draw_settling(figure, curves, sweeps):
    ax = figure.subplots()
    for (_, _, name), residual in zip(RELAXATIONS, curves, strict=True):
        (line,) = ax.semilogy(sweeps, np.median(residual, axis=1), label=name)
        low, high = residual.min(axis=1), residual.max(axis=1)
        ax.fill_between(sweeps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    ax.set(
        xlabel="sweeps or steps",
        ylabel="residual: largest |ds/dt| of a unit",
        title=f"Settling: median and range of {curves[0].shape[1]} test images",
    )
    ax.grid(alpha=0.3)
    ax.legend()


def draw_confusion(figure, pipeline, X_test, y_test):
    ax = figure.subplots()
    ConfusionMatrixDisplay.from_estimator(
        pipeline, X_test, y_test, cmap="Blues", colorbar=False, ax=ax
    )
    ax.set(
        title=f"Confusion on {len(y_test)} test images ({pipeline.score(X_test, y_test):.1%} right)"
    )


figure = plt.figure(figsize=(13, 10.5), layout="constrained")
figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)
parts = figure.subfigures(2, 2, wspace=0.03, hspace=0.03)
draw_features(parts[0, 0], *features(eqprop, X_train, 16))
draw_losses(parts[0, 1], [("EqPropClassifier", eqprop[-1]), ("MLPClassifier", mlp[-1])])
draw_settling(parts[1, 0], curves, SWEEPS)
draw_confusion(parts[1, 1], eqprop, X_test, y_test)
figure.savefig("digits.png", dpi=120)

heading("5. Picture")
print("Learned features, training, settling and confusion matrix: digits.png")
print(f"\nDone in {time.perf_counter() - begin:.0f} s.")
limits.restore_original_limits()
plt.show()
