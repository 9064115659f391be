"""Train CIFAR-10 by the paper's local rule, and a twin of the network by backpropagation.

    python benchmarks/cifar10.py --data cifar10.npz --presets "60 minutes" --checkpoints DIR

Each preset is one call of ``fit`` with random crops and flips, smoothed labels, averaged weights
and a learning rate that falls to 0. It writes a checkpoint after every epoch. ``--minutes`` ends a
call after that time, and the same command continues the run. ``--twin`` trains the same layers by
backpropagation in PyTorch (which must be installed): on the same rows, with the same augmentation,
epochs, learning rates and average.

Results are written to ``benchmarks/results/cifar10.json``, and the table ``cifar10.md`` and the
picture ``cifar10.png`` are rewritten from all runs in that file. ``--validate`` trains on the first
45,000 rows and scores on the other 5,000: for choices, without a record. Test rows choose nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_images
from environment import describe_environment
from mnist import forward_alignment, record_run
from report import table
from sklearn.exceptions import ConvergenceWarning

from sklearn_eqprop import Conv2D, EqPropClassifier
from sklearn_eqprop.augmentation import Compose, RandomCrop, RandomHorizontalFlip

RESULTS = Path(__file__).parent / "results"
SHAPE = (32, 32, 3)
N_TRAINED = 45_000
#: Rows on which alignment is measured, and epochs between two measurements.
N_ALIGNMENT, EVERY = 50, 5
AUGMENT = Compose([RandomCrop(4, input_shape=SHAPE), RandomHorizontalFlip(input_shape=SHAPE)])
COMMON: dict[str, Any] = {
    "input_shape": SHAPE,
    "batch_size": 100,
    "learning_rate_init": 1e-3,
    "learning_rate": "cosine",
    "n_iter_no_change": None,
    "alpha": 1e-2,
    "label_smoothing": 0.1,
    "average_weights": True,
    "augment": AUGMENT,
}


def averaged(filters: int) -> Conv2D:
    """Return 3x3 kernels whose result is averaged over windows of 2x2."""
    return Conv2D(filters, 3, padding="same", pool=2, pooling="average")


def maximum(filters: int) -> Conv2D:
    """Return 3x3 kernels of whose result each window of 2x2 keeps its maximum."""
    return Conv2D(filters, 3, padding="same", pool=2)


#: Hidden layers, and parameters besides `COMMON`.
PRESETS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "60 minutes": ((averaged(64), averaged(128), averaged(256), 128), {"max_iter": 24}),
    "best": ((maximum(64), maximum(128), maximum(256), 256), {"max_iter": 40}),
}
#: The same network with other feedback.
WAYS = {
    "tied feedback": {"feedback": "tied"},
    "independent feedback": {"feedback_init": "independent"},
}
PRESETS |= {
    f"60 minutes, {way}": (PRESETS["60 minutes"][0], PRESETS["60 minutes"][1] | settings)
    for way, settings in WAYS.items()
}


def load(path: Path, *, validate: bool) -> tuple[np.ndarray, ...]:
    """Return X, y, X_test, y_test; each channel has mean 0 and standard deviation 1 on X."""
    X, y, X_test, y_test = load_images(path)
    if validate:
        X, y, X_test, y_test = X[:N_TRAINED], y[:N_TRAINED], X[N_TRAINED:], y[N_TRAINED:]
    pixels = X.reshape(-1, 3)
    mean, size = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)

    def scaled(rows: np.ndarray) -> np.ndarray:
        return ((rows.reshape(-1, 3) - mean) / size).astype(np.float32).reshape(rows.shape)

    return scaled(X), y, scaled(X_test), y_test


class Following:
    """A callback that measures the alignment of every layer in some epochs, and keeps it in a file.

    The file is beside the checkpoint, so that a run in several calls has one record.
    """

    def __init__(self, path: Path, X: np.ndarray, y: np.ndarray) -> None:
        self.path, self.X, self.y = path, X, y
        self.epochs: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.started = time.perf_counter()

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing before fit."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing after fit."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool:
        """Measure a network after its epoch, and never stop it."""
        if context.task_name == "epoch":
            n_epochs = len(fitted_estimator.loss_curve_)
            seconds, self.started = time.perf_counter() - self.started, time.perf_counter()
            self.epochs[str(n_epochs)] = {"seconds": seconds}
            if n_epochs == 1 or n_epochs % EVERY == 0:
                alignment = forward_alignment(fitted_estimator, self.X, self.y)
                self.epochs[str(n_epochs)]["alignment"] = alignment
            self.path.write_text(json.dumps(self.epochs))
        return False


def train(name: str, seed: int, data: tuple[np.ndarray, ...], arguments: Any) -> None:
    """Continue a preset from its checkpoint, if there is one, and record it when it has ended."""
    X, y, X_test, y_test = data
    layers, settings = PRESETS[name]
    if arguments.epochs:
        settings = settings | {"max_iter": arguments.epochs}
    arguments.checkpoints.mkdir(parents=True, exist_ok=True)
    kind = f"{name} {seed}{' validate' if arguments.validate else ''}"
    path = arguments.checkpoints / f"cifar10 {kind}.joblib"
    following = Following(path.with_suffix(".json"), X[:N_ALIGNMENT], y[:N_ALIGNMENT])
    model = EqPropClassifier(
        layers, random_state=seed, verbose=True, checkpoint=path, **COMMON | settings
    )
    model.set_callbacks(following)
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # ends fit as Ctrl-C does
    signal.setitimer(signal.ITIMER_REAL, 60 * arguments.minutes)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    signal.setitimer(signal.ITIMER_REAL, 0)
    epochs = [following.epochs[key] for key in sorted(following.epochs, key=int)]
    outcome = {
        "preset": name,
        "seed": seed,
        "layers": repr(layers),
        "settings": {key: repr(value) for key, value in (COMMON | settings).items()},
        "environment": describe_environment(),
        "loss_curve": model.loss_curve_,
        "epochs": epochs,
        "minutes": sum(epoch["seconds"] for epoch in epochs) / 60,
        "test_error": 100 * (1 - model.score(X_test, y_test)),
        "train_error": 100 * (1 - model.score(X[:10_000], y[:10_000])),
        "unsettled": model.relaxation_["free_unconverged"][-1],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    if path.exists():
        print(f"{len(epochs)} epochs are done. The same command continues the run.")
    else:
        report_run(outcome, arguments)


# ---- the twin -----------------------------------------------------------------------------------


def train_twin(name: str, seed: int, data: tuple[np.ndarray, ...], arguments: Any) -> None:
    """Train the layers of a preset by backpropagation, with Adam as well, and record it."""
    import torch
    from torch.optim.swa_utils import AveragedModel

    X, y, X_test, y_test = data
    layers, settings = PRESETS[name]
    settings = COMMON | settings
    n_epochs, size = arguments.epochs or settings["max_iter"], settings["batch_size"]
    torch.manual_seed(seed)
    rng = np.random.RandomState(seed)
    net = torch_layers(layers)
    # The penalty is part of the loss, as in the estimator.
    decay = [p for p in net.parameters() if p.ndim > 1], [p for p in net.parameters() if p.ndim < 2]
    groups = [
        {"params": decay[0], "weight_decay": settings["alpha"] / size},
        {"params": decay[1]},
    ]
    optimizer = torch.optim.Adam(groups, settings["learning_rate_init"])
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=settings["label_smoothing"])
    n_batches = len(X) // size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_epochs * n_batches)
    averages = AveragedModel(net, avg_fn=lambda old, new, n: old + (new - old) * 10 / (n + 10))
    curve, started = [], time.perf_counter()
    for epoch in range(n_epochs):
        losses = []
        for rows in np.array_split(rng.permutation(len(X)), n_batches):
            loss = loss_of(
                net(torch.from_numpy(settings["augment"](X[rows], rng))), torch.from_numpy(y[rows])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averages.update_parameters(net)
            losses.append(float(loss.detach()))
        curve.append(float(np.mean(losses)))
        print(name, "twin, epoch", epoch + 1, f"loss {curve[-1]:.4f}", flush=True)
    minutes = (time.perf_counter() - started) / 60

    def error(rows: np.ndarray, labels: np.ndarray) -> float:
        with torch.no_grad():
            parts = [
                averages(torch.from_numpy(part)).argmax(1) for part in np.array_split(rows, 50)
            ]
        return 100 * float((torch.cat(parts).numpy() != labels).mean())

    outcome = {
        "preset": f"{name}, twin by backpropagation",
        "seed": seed,
        "layers": repr(layers),
        "settings": {key: repr(value) for key, value in settings.items()},
        "environment": f"{describe_environment()}, PyTorch {torch.__version__}",
        "loss_curve": curve,
        "epochs": [],
        "minutes": minutes,
        "test_error": error(X_test, y_test),
        "train_error": error(X[:10_000], y[:10_000]),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    report_run(outcome, arguments)


def torch_layers(layers: tuple[Any, ...]) -> Any:
    """Return the same layers in PyTorch: each state is relu(pool(conv(state before) + b))."""
    from torch import nn

    class ChannelsFirst(nn.Module):
        def forward(self, rows: Any) -> Any:
            return rows.reshape(-1, *SHAPE).permute(0, 3, 1, 2)

    modules: list[Any] = [ChannelsFirst()]
    side, channels, n_features = SHAPE[0], SHAPE[2], 0
    for entry in (*layers, 10):
        if isinstance(entry, Conv2D):
            modules.append(nn.Conv2d(channels, entry.filters, entry.kernel_size, padding="same"))
            pool = nn.MaxPool2d if entry.pooling == "max" else nn.AvgPool2d
            modules += [pool(entry.pool), nn.ReLU()]
            side, channels = side // entry.pool, entry.filters
            n_features = side * side * channels
        else:
            modules += [nn.Flatten(), nn.Linear(n_features, entry), nn.ReLU()]
            n_features = entry
    return nn.Sequential(*modules[:-1])  # the output is linear


# ---- results ------------------------------------------------------------------------------------


def report_run(outcome: dict[str, Any], arguments: Any) -> None:
    """Print the result of a run; record it, except with ``--validate``."""
    print({key: outcome[key] for key in ("test_error", "train_error", "minutes", "peak_gb")})
    if arguments.validate:
        return
    runs = record_run(outcome, arguments.results)
    head = ["preset", "test error %", "training error %", "epochs", "minutes", "peak GB"]
    head += ["alignment of each layer at the end"]
    rows = [
        [
            f"{run['preset']}, seed {run['seed']}",
            f"**{run['test_error']:.2f}**",
            f"{run['train_error']:.2f}",
            len(run["loss_curve"]),
            f"{run['minutes']:.0f}",
            f"{run['peak_gb']:.2f}",
            " ".join(f"{cosine:.3f}" for cosine in alignments(run)[-1][1]) if run["epochs"] else "",
        ]
        for run in runs
    ]
    layers = "\n".join(f"* {run['preset']}: `{run['layers']}`" for run in runs)
    environments = "\n\n".join(sorted({run["environment"] for run in runs}))
    note = (
        "Training error: of the first 10,000 training rows. Minutes: of the epochs, by the clock."
    )
    parts = ["# CIFAR-10", environments, note, table(head, rows), layers]
    parts.append("![Losses and alignment over the epochs](cifar10.png)")
    arguments.results.with_suffix(".md").write_text("\n\n".join(parts) + "\n")
    draw(runs, arguments.results.with_suffix(".png"))


def alignments(run: dict[str, Any]) -> list[tuple[int, list[float]]]:
    """Return (epoch, cosine of each forward block with the gradient) where it was measured."""
    epochs = enumerate(run["epochs"], start=1)
    return [(number, epoch["alignment"]) for number, epoch in epochs if "alignment" in epoch]


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw the training losses of all runs, and the alignment of their layers over the epochs."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for run in runs:
        left.plot(range(1, len(run["loss_curve"]) + 1), run["loss_curve"], label=run["preset"])
    left.set(xlabel="epoch", ylabel="training loss")
    left.legend(fontsize="small")
    followed = [run for run in runs if run["epochs"]]
    for run in followed[:1]:
        numbers, cosines = zip(*alignments(run), strict=True)
        for layer, of_layer in enumerate(zip(*cosines, strict=True), start=1):
            right.plot(numbers, of_layer, marker=".", label=f"layer {layer}")
        right.set(title=run["preset"], xlabel="epoch", ylabel="cosine of update and gradient")
        right.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as an .npz file")
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=["60 minutes"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of those of the preset")
    parser.add_argument("--minutes", type=float, default=170, help="most minutes of one run")
    parser.add_argument("--twin", action="store_true", help="by backpropagation, in PyTorch")
    parser.add_argument("--checkpoints", type=Path, default=RESULTS / "checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS / "cifar10.json")
    parser.add_argument("--validate", action="store_true", help="score on held-out training rows")
    arguments = parser.parse_args()
    data = load(arguments.data, validate=arguments.validate)
    for name in arguments.presets:
        (train_twin if arguments.twin else train)(name, arguments.seed, data, arguments)


if __name__ == "__main__":
    main()
