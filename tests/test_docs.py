"""The code of README and of the first pages runs; the settings of the table of choices fit."""

import re
from pathlib import Path

import numpy as np
import pytest

from sklearn_eqprop import EqPropClassifier

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").exists(), reason="the pages are in a checkout only"
)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/getting_started.md"])
def test_code_of_a_page_runs(page, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.M | re.S)
    variables = {}
    for block in blocks:
        exec(compile(block.replace("n_jobs=2", "n_jobs=1"), page, "exec"), variables)
    assert variables["model"].score(variables["X"], variables["y"]) > 0.95
    if page == "docs/getting_started.md":
        assert "settling" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Training reached max_iter", "ignore:beta=0.5 with")
def test_code_of_the_page_on_substrates():
    page = (ROOT / "docs" / "substrate.md").read_text("utf-8")
    on_chip, minimal, trained, by_hand = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    variables = {}
    exec(on_chip, variables)
    X, y = variables["X"], variables["y"]
    assert variables["model"].score(X, y) > 0.9
    exec(minimal, variables)
    assert 35 < len([line for line in minimal.splitlines() if line]) < 45
    exec(trained, variables)
    settings = {"batch_size": 20, "max_iter": 50, "random_state": 0, "relax_tol": 1e-10}
    direct = EqPropClassifier((16,), **settings).fit(X, y)
    np.testing.assert_allclose(variables["model"].coefs_[0], direct.coefs_[0], atol=1e-3)
    assert variables["model"].score(X, y) > 0.95
    exec(by_hand, variables)
    output = variables["substrate"].settle(X).result.states[-1]
    assert np.mean(output.argmax(axis=1) == y) > 0.95


@pytest.mark.filterwarnings("ignore:Training reached max_iter", "ignore:The free phase did not")
def test_settings_of_the_table_of_choices():
    page = (ROOT / "docs" / "choose.md").read_text("utf-8")
    table = page.split("| you want |")[1].split("\n\n")[0]
    settings = [
        code for code in re.findall(r"\| `(.+?)` \|", table) if "=" in code and "..." not in code
    ]
    assert len(settings) == 9
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), np.arange(60) % 3
    for code in settings:
        parameters = eval(f"dict({code})")
        model = EqPropClassifier((8, 6), max_iter=2, random_state=0, **parameters).fit(X, y)
        assert {name: model.get_params()[name] for name in parameters} == parameters
