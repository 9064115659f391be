"""Compare default settings on real tables: scores, log losses, processor times and ranks.

    python benchmarks/tables.py --data FOLDER --output benchmarks/results/tables.md

Every .npz file in FOLDER has X (numbers without gaps) and y: integers are classes, a matrix of
integers holds one column per label, floats are targets. All models follow a StandardScaler and see
the same splits: 70 % of the rows to train on. Targets of MLPRegressor are standardised too; ours
does that itself. ``--set name=value`` changes a parameter of ours.
"""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import threadpoolctl
from datasets import Dataset
from defaults import parse_setting
from report import argument_parser, publish, table
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from sklearn_eqprop import EqPropClassifier, EqPropRegressor

#: Learning rate of our defaults, for a fair row of the MLP.
OUR_RATE = 3e-3
SIDES = ("ours", "MLP", f"MLP at {OUR_RATE:g}", "linear", "trees")
#: A table counts as lost to the linear model if the score is lower by more than this.
CLEARLY = 0.02


def load_tables(folder: Path) -> list[Dataset]:
    """Return one task per .npz file."""
    tasks = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as archive:
            X, y = archive["X"], archive["y"]
        kind = "regression" if y.dtype.kind == "f" else "classification"
        tasks.append(Dataset(path.stem, kind, X, y))
    return tasks


def make_model(side: str, task: Dataset, seed: int, settings: dict[str, Any]):
    """Return one side of the comparison, without the StandardScaler."""
    classifies, several = task.kind == "classification", task.y.ndim == 2
    if side == "ours":
        return (EqPropClassifier if classifies else EqPropRegressor)(random_state=seed, **settings)
    if side.startswith("MLP"):
        rate = {} if side == "MLP" else {"learning_rate_init": OUR_RATE}
        if classifies:
            return MLPClassifier(random_state=seed, **rate)
        mlp = MLPRegressor(random_state=seed, **rate)
        return TransformedTargetRegressor(mlp, transformer=StandardScaler())
    if side == "linear":
        if not classifies:
            return RidgeCV()
        model = LogisticRegression(max_iter=1000)
        return MultiOutputClassifier(model) if several else model
    if classifies:
        model = HistGradientBoostingClassifier(random_state=seed)
        return MultiOutputClassifier(model) if several else model
    model = HistGradientBoostingRegressor(random_state=seed)
    return MultiOutputRegressor(model) if several else model


def mean_log_loss(model, X: np.ndarray, y: np.ndarray) -> float:
    """Return the log loss; for several labels the mean over them."""
    probabilities = model.predict_proba(X)
    if y.ndim == 1:
        return float(log_loss(y, probabilities, labels=model.classes_))
    if isinstance(probabilities, list):  # MultiOutputClassifier: one array per label
        columns = [
            each[:, list(kind).index(1)] if 1 in kind else np.zeros(len(X))
            for each, kind in zip(probabilities, model.classes_, strict=True)
        ]
        probabilities = np.stack(columns, axis=1)
    labels = range(y.shape[1])
    return float(np.mean([log_loss(y[:, k], probabilities[:, k], labels=[0, 1]) for k in labels]))


def run_one(task: Dataset, side: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit one model on one split; return score, log loss, processor time and the warnings."""
    stratify = task.y if task.kind == "classification" and task.y.ndim == 1 else None
    X, X_test, y, y_test = train_test_split(
        task.X, task.y, test_size=0.3, random_state=seed, stratify=stratify
    )
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    model = make_model(side, task, seed, settings)
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        started = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - started
        score = model.score(X_test, y_test)
        loss = mean_log_loss(model, X_test, y_test) if task.kind == "classification" else np.nan
    return {
        "score": float(score),
        "log_loss": loss,
        "seconds": seconds,
        "epochs": int(getattr(model, "n_iter_", 0)) if side == "ours" else 0,
        "alpha": float(getattr(model, "alpha_", np.nan)),
        "warnings": [str(each.message) for each in said],
    }


def compare(
    tasks: list[Dataset], sides: tuple[str, ...], seeds: range, settings: dict, n_jobs: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the outcomes by table and side, one per seed."""
    jobs = [(task, side, seed) for task in tasks for side in sides for seed in seeds]
    outcomes = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(run_one)(task, side, seed, settings if side == "ours" else {})
        for task, side, seed in jobs
    )
    results: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (task, side, _), outcome in zip(jobs, outcomes, strict=True):
        results.setdefault(task.name, {}).setdefault(side, []).append(outcome)
    return results


def means(results: dict, side: str, name: str) -> np.ndarray:
    """Return the mean over the seeds of one number, for every table."""
    return np.array([np.mean([one[name] for one in sides[side]]) for sides in results.values()])


def by_table(results: dict) -> str:
    """Return a Markdown table with one row per table."""
    lines = []
    for index, name in enumerate(results):

        def cell(side: str, what: str, digits: int = 3, index: int = index) -> str:
            value = means(results, side, what)[index]
            return "" if np.isnan(value) else f"{value:.{digits}f}"

        cells = [cell(side, "score") for side in SIDES]
        cells += [cell(side, "log_loss") for side in ("ours", "MLP", "linear")]
        cells += [cell(side, "seconds", 2) for side in ("ours", "MLP")]
        lines.append([name, *cells, f"{means(results, 'ours', 'alpha')[index]:.2g}"])
    head = ["table", *SIDES, "log loss: ours", "MLP", "linear", "s: ours", "MLP", "alpha_"]
    return table(head, lines)


@dataclass(frozen=True)
class Comparison:
    """Ours beside the other sides: means over the seeds, one entry per table."""

    results: dict

    def of(self, side: str, what: str = "score") -> np.ndarray:
        return means(self.results, side, what)

    def beside(self, side: str, what: str = "score") -> tuple[np.ndarray, np.ndarray]:
        """Return ours minus another side, and the names of the tables; without missing numbers."""
        difference = self.of("ours", what) - self.of(side, what)
        known = ~np.isnan(difference)
        return difference[known], np.array(list(self.results))[known]

    @property
    def ranks(self) -> np.ndarray:
        """Mean rank of each side by score; equal scores share their ranks."""
        scores = np.stack([self.of(side) for side in SIDES])
        better = (scores[None] > scores[:, None]).sum(axis=1)
        equal = (scores[None] == scores[:, None]).sum(axis=1)
        return (better + 1 + 0.5 * (equal - 1)).mean(axis=1)

    @property
    def time_ratio(self) -> np.ndarray:
        """Our processor time over MLP's."""
        return self.of("ours", "seconds") / self.of("MLP", "seconds")


def summary(found: Comparison) -> str:
    """Return the numbers that the defaults are judged by, as a list."""
    to_mlp, names = found.beside("MLP")
    to_linear, _ = found.beside("linear")
    excess, classified = found.beside("linear", "log_loss")
    to_mlps_loss, _ = found.beside("MLP", "log_loss")
    lost, above, ratio = to_linear < -CLEARLY, to_mlps_loss > 0, found.time_ratio
    limit = [
        any("max_iter" in text for one in sides["ours"] for text in one["warnings"])
        for sides in found.results.values()
    ]
    return "\n".join(
        [
            f"- ours minus MLP: mean {to_mlp.mean():+.3f}, worst {to_mlp.min():+.3f} "
            f"({names[to_mlp.argmin()]})",
            f"- ours minus linear: mean {to_linear.mean():+.3f}, worst {to_linear.min():+.3f} "
            f"({names[to_linear.argmin()]}), below by more than {CLEARLY:g}: {lost.sum()} "
            f"({', '.join(names[lost])})",
            f"- log loss minus the linear model's: worst {excess.max(initial=-np.inf):+.3f} "
            f"({', '.join(classified[excess == excess.max(initial=-np.inf)])}); above MLP's on "
            f"{above.sum()} of {above.size} tables ({', '.join(classified[above])})",
            "- mean rank by score: "
            + ", ".join(
                f"{side} {rank:.2f}" for side, rank in zip(SIDES, found.ranks, strict=True)
            ),
            f"- processor time over MLP's: median {np.median(ratio):.2f}, worst {ratio.max():.2f} "
            f"({names[ratio.argmax()]}); median {np.median(found.of('ours', 'seconds')):.2f} s",
            f"- tables with the warning of max_iter: {sum(limit)} of {len(limit)}",
        ]
    )


def line_of(alpha: Any, found: Comparison) -> list[str]:
    """Return what a strength of the penalty is worth, as a line of a table."""
    to_mlp, to_linear = found.beside("MLP")[0], found.beside("linear")[0]
    excess = found.beside("linear", "log_loss")[0]
    return [
        f"{alpha!r}",
        f"{to_mlp.mean():+.3f}",
        f"{to_mlp.min():+.3f}",
        f"{to_linear.min():+.3f}",
        f"{(to_linear < -CLEARLY).sum()}",
        f"{excess.max(initial=-np.inf):+.3f}",
        f"{found.ranks[0]:.2f}",
        f"{np.median(found.time_ratio):.2f}",
    ]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz files")
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--alpha", type=float, nargs="*", default=[1e-4, 1.0, 3.0, 10.0])
    parser.add_argument("--others", type=Path, help="JSON file that keeps the other sides' results")
    arguments = parser.parse_args()
    settings = dict(parse_setting(text) for text in arguments.set)
    tasks = load_tables(arguments.data)
    if arguments.only:
        tasks = [task for task in tasks if task.name in arguments.only]
    seeds = range(arguments.seeds)
    if arguments.others and arguments.others.exists():
        others = json.loads(arguments.others.read_text())
    else:
        others = compare(tasks, SIDES[1:], seeds, {}, arguments.jobs)
        if arguments.others:
            arguments.others.write_text(json.dumps(others))

    def compared(settings: dict[str, Any]) -> Comparison:
        ours = compare(tasks, SIDES[:1], seeds, settings, arguments.jobs)
        return Comparison({name: ours[name] | others[name] for name in ours})

    default = compared(settings)
    head = ["alpha", "minus MLP: mean", "worst", "minus linear: worst"]
    head += [f"below by > {CLEARLY:g}", "log loss minus linear: worst", "rank", "time / MLP"]
    by_alpha = [line_of("auto", default)]
    by_alpha += [line_of(alpha, compared(settings | {"alpha": alpha})) for alpha in arguments.alpha]
    changed = f" Changed from the defaults: {settings}." if settings else ""
    publish(
        "Real tables, default settings",
        f"70 % of the rows to train on, seeds {list(seeds)}; accuracy (all labels right, for "
        f"several labels) or R², mean over the seeds; {arguments.jobs} fits at a time, one BLAS "
        f"thread each.{changed}",
        by_table(default.results),
        summary(default),
        "## Strength of the penalty",
        table(head, by_alpha),
        output=arguments.output,
    )


if __name__ == "__main__":
    main()
