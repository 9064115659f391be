"""Print the measures of the house as a table, and fail if one is above its limit.

The numbers say how much a reader must hold in mind: how many classes an estimator has, how many
files a call enters, how long the package is. docs/design.md has the last output.
"""

import ast
import inspect
import re
import sys
import textwrap
import warnings
from collections import Counter
from pathlib import Path

from sklearn.datasets import load_digits

import sklearn_eqprop
from sklearn_eqprop import EqPropClassifier, EqPropRegressor
from sklearn_eqprop._training.updates import apply_updates

PACKAGE = Path(sklearn_eqprop.__file__).parent
ROOT = PACKAGE.parent
VALIDATION = PACKAGE / "_estimators" / "parameters"

#: The package must not grow beyond this. Lower it if the package has become shorter.
MOST_LINES = 22712
TARGET_LINES = 16_500


def own_classes(estimator):
    """Classes of this package in the method resolution order of a class."""
    return [kind for kind in estimator.__mro__ if kind.__module__.startswith("sklearn_eqprop")]


def private_calls_across(chain, kinds):
    """Calls `self._x()` or `super()._x()` in classes of a chain that lead to another one of them.

    Parameters
    ----------
    chain : sequence of type
        A method resolution order.
    kinds : sequence of type
        The classes to read; calls that lead to other classes of the chain do not count.
    """
    found = []
    for kind in kinds:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name, caller = node.func.attr, ast.unparse(node.func.value)
            if caller not in ("self", "cls", "super()") or not re.match(r"_[^_]", name):
                continue
            after = chain[chain.index(kind) + 1 :] if caller == "super()" else chain
            owner = next((each for each in after if name in vars(each)), None)
            if owner in kinds and owner is not kind:
                found.append(f"{kind.__name__} calls {owner.__name__}.{name}")
    return found


def strings_looked_up(source, names):
    """Lines of Python source that look one of the names up by a string.

    These are ``x["name"]``, ``getattr(x, "name")`` (also hasattr and setattr), ``x.get("name")``
    and ``x.pop("name")``. ``getattr(x, "dtype")`` does not count: every array has a dtype.
    """
    lines = []
    for node in ast.walk(ast.parse(source)):
        key = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "hasattr", "setattr") and len(node.args) > 1:
                key = node.args[1]
                if isinstance(key, ast.Constant) and key.value == "dtype":
                    key = None
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".get", ".pop")):
            key = next(iter(node.args), None)
        if isinstance(key, ast.Constant) and key.value in names:
            lines.append(node.lineno)
    return lines


def files_entered(call, until=None):
    """Files of the package whose functions run during a call, up to the first return of `until`."""
    entered, has_ended = set(), False

    def watch(frame, event, argument):
        nonlocal has_ended
        path = frame.f_code.co_filename
        if event == "call" and not has_ended and path.startswith(str(PACKAGE)):
            entered.add(path)
        has_ended |= event == "return" and until is not None and frame.f_code is until.__code__

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    if until is not None and not has_ended:
        raise RuntimeError(f"{until.__name__} was not called")
    return entered


def public_modules_without_reference():
    """Public modules of the package that docs/api.md does not list."""
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in PACKAGE.rglob("*.py")]
    modules = {".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts}
    reference = (ROOT / "docs" / "api.md").read_text()
    public = [m for m in modules if not any(part.startswith("_") for part in m.split("."))]
    listed = {"sklearn_eqprop"} if "currentmodule:: sklearn_eqprop" in reference else set()
    listed |= {f"sklearn_eqprop.{m}" for m in re.findall(r"^ +(\w+)\.\w+$", reference, re.M)}
    return sorted(set(public) - listed)


def measures():
    """Name, value, limit and evidence of each measure."""
    estimators = (EqPropClassifier, EqPropRegressor)
    chains = [own_classes(estimator) for estimator in estimators]
    longest = max(chains, key=len)
    calls = sorted(
        {
            call
            for estimator, kinds in zip(estimators, chains, strict=True)
            for call in private_calls_across(estimator.__mro__, kinds)
        }
    )
    parameters = {name for estimator in estimators for name in estimator().get_params()}
    sources = sorted(PACKAGE.rglob("*.py"))
    strings = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sources
        if VALIDATION not in path.parents
        for line in strings_looked_up(path.read_text(), parameters)
    ]
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = EqPropClassifier(max_iter=1, backend="numpy", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_fit = files_entered(lambda: model.fit(X, y), until=apply_updates)
    by_predict = files_entered(lambda: model.predict(X[:100]))
    n_lines = sum(len(path.read_text().splitlines()) for path in sources)
    files = [f for f in PACKAGE.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    [(fullest, n_files)] = Counter(file.parent for file in files).most_common(1)
    unlisted = public_modules_without_reference()
    names = [kind.__name__ for kind in longest]
    return [
        ("own classes of an estimator", len(longest), 3, names),
        ("private methods called across these classes", len(calls), 0, calls),
        ("parameters looked up by a string outside of validation", len(strings), 0, strings),
        ("own files entered from `fit` to the first update", len(by_fit), 30, sorted(by_fit)),
        ("own files entered by `predict` (100 rows)", len(by_predict), 15, sorted(by_predict)),
        (f"lines of the package (target {TARGET_LINES})", n_lines, MOST_LINES, []),
        ("files in one folder", n_files, 14, [fullest]),
        ("public modules that the reference does not list", len(unlisted), 0, unlisted),
    ]


def main():
    rows = measures()
    print("| measure | value | limit |\n|---|---|---|")
    for name, value, limit, _ in rows:
        print(f"| {name} | {value} | {limit} |")
    print(
        "| files touched to add an activation, loss, rule, relaxation or optimiser "
        "| 1 new, 1 line in another | `tests/test_extending.py` |"
    )
    problems = [
        f"{name}: {value} is above {limit}" + "".join(f"\n    {each}" for each in evidence)
        for name, value, limit, evidence in rows
        if value > limit
    ]
    return "\n".join(problems) or 0


if __name__ == "__main__":
    sys.exit(main())
