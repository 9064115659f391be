"""
===============
Train a circuit
===============

The network is an analog circuit, and the simulator ngspice solves it. Each state is the voltage of
a capacitor with a leak, each weight is a current source, and real diodes clip the states. The
estimator trains this circuit. ngspice's shared library must be installed (Debian: ``libngspice0``).
"""

# %%
# Diodes in place of ReLUs
# ------------------------
#
# A diode does not clip a voltage at 0. It lets it fall to about -0.6 V, and the current there grows
# exponentially. The learner does not know this. It measures the voltages, and learns with them.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_eqprop import EqPropClassifier
from sklearn_eqprop.substrates import SpiceCircuit, spice_transient

EPOCHS = 30

X, y = load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(scale(X), y, stratify=y, random_state=0)
model = EqPropClassifier(
    (10,),
    substrate=SpiceCircuit(diode=1.0),
    loop_gain=0.5,
    batch_size=28,
    learning_rate_init=0.02,
    max_iter=EPOCHS,
    alpha=1e-3,
    n_iter_no_change=None,
    random_state=0,
)
model.fit(X_train, y_train)
in_circuit = model.score(X_test, y_test)
print(f"Test accuracy of the circuit: {in_circuit:.1%}")

# %%
# The same weights with ideal clips are another network, for which they were not learned.

voltages = model.relax(X_test).states[0]
ideal = model.set_params(substrate=None).relax(X_test).states[0]
print(f"Lowest voltage of a hidden unit: {voltages.min():.2f} V; ideal: {ideal.min():.2f}")

# %%
# A circuit settles like the vector field
# ---------------------------------------
#
# A capacitor C with a leak R integrates currents: RC ds/dt = drive - s. This is the vector field
# (Eq. 77, Scellier et al. 2018). Its Euler steps follow the voltages in time. The clips are ideal
# here.

model.set_params(substrate=None, relaxation="euler")
times, (hidden, output) = spice_transient(model, X_test[0])
steps = np.arange(1, 13)
STEP = 0.1
model.set_params(step_size=STEP, relax_tol=1e-12)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # so few steps do not settle
    euler = [
        model.set_params(max_relax_iter=round(time / STEP)).relax(X_test[:1]).states[-1][0]
        for time in steps
    ]

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
lines = ax.plot(times, output, label=[f"output {unit}, circuit" for unit in range(3)])
for unit, line in enumerate(lines):
    ax.plot(steps, np.array(euler)[:, unit], "o", color=line.get_color())
ax.plot([], [], "ko", label=f"Euler steps of {STEP}")
ax.set(xlabel="time / RC", ylabel="voltage", xlim=(0, 12), title="A circuit settles from rest")
ax.legend()
plt.show()
