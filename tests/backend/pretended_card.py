"""A pytest plugin: the whole suite as on a machine with a card, which is the pretended one.

    python -m pytest -p tests.backend.pretended_card tests/estimators

`backend='auto'` then takes it. At import, because `conftest.py` asks for a device.
"""

import sys

from sklearn_eqprop._backend import host
from tests.backend.fake_cupy import FakeCupy

sys.modules["cupy"] = FakeCupy(answers_numpy=True)
host._has_driver = lambda: True
