"""
============================================
Spike-timing dependent plasticity from Eq. 2
============================================

The paper's learning rule is local in time: a synapse changes by its presynaptic rate times the
change of its postsynaptic state (Eq. 2, Scellier et al. 2018). Biologists measure something else:
the change of a synapse when a presynaptic spike comes some milliseconds before or after a
postsynaptic spike. This example derives the second from the first.
"""

# %%
# Spikes
# ------
#
# The rule is :math:`dW_{ij} \propto \rho(s_j)\, ds_i`. Postsynaptic neurons are leaky integrators
# (Eq. 1) with a fluctuating drive. They spike at random with probability :math:`\rho(s_i)` per
# step. Presynaptic spikes come at random.

import matplotlib.pyplot as plt
import numpy as np

TAU = 20.0  # time constant of a neuron, ms
STEP = 1.0  # length of a step, ms
PRE_RATE = 0.1  # probability of a presynaptic spike per step
MEAN, SPREAD = 0.2, 0.07  # of the state, inside the range [0, 1] of the hard sigmoid
NEURONS = 4000
STEPS = 1500
LONGEST = 60  # largest interval between two spikes, in steps


def simulate(rng):
    """Return states, presynaptic and postsynaptic spikes, each (STEPS, NEURONS)."""
    leak = STEP / TAU
    # This size of the noise gives the stationary state its spread.
    noise = SPREAD * np.sqrt(1 - (1 - leak) ** 2)
    states = np.empty((STEPS, NEURONS), dtype=np.float32)
    s = MEAN + SPREAD * rng.standard_normal(NEURONS)
    for step in range(STEPS):
        # Euler step of Eq. 1, ds/dt = drive - s, with a fluctuating drive.
        s = s + leak * (MEAN - s) + noise * rng.standard_normal(NEURONS)
        states[step] = s
    post = rng.random_sample(states.shape) < np.clip(states, 0, 1)
    pre = rng.random_sample(states.shape) < PRE_RATE
    return states, pre, post


states, pre, post = simulate(np.random.RandomState(0))

# %%
# The experiment
# --------------
#
# At every presynaptic spike the synapse changes by :math:`ds_i`. The rule does not use postsynaptic
# spikes. Then, as in an experiment, the changes are sorted by the time from the presynaptic to a
# postsynaptic spike, and averaged.

ds = np.zeros_like(states)
ds[1:-1] = (states[2:] - states[:-2]) / 2
inner = slice(LONGEST + 1, STEPS - LONGEST - 1)
rows, columns = np.nonzero(pre[inner])
rows += inner.start
at_pre = ds[rows, columns]
lags = np.arange(-LONGEST, LONGEST + 1)
intervals = lags * STEP
paired = [at_pre[post[rows + lag, columns]] for lag in lags]
change = np.array([changes.mean() for changes in paired])
error = np.array([changes.std() / np.sqrt(len(changes)) for changes in paired])

# %%
# What theory expects
# -------------------
#
# At a postsynaptic spike :math:`s_i` is probably high, so it probably rises before and falls after.
# For a leaky integrator driven by white noise the correlation in time is :math:`e^{-|t| / \tau}`.
# The window is minus its slope, :math:`\operatorname{sign}(\Delta t)\, e^{-|\Delta t| / \tau}`: the
# shape that Bi and Poo measured (1998).


def expected(intervals):
    """Return E[ds | a postsynaptic spike Δt later], for a rate of ρ(s) = s."""

    def correlation(steps):
        return SPREAD**2 * (1 - STEP / TAU) ** np.abs(steps)

    steps = intervals / STEP
    return (correlation(steps - 1) - correlation(steps + 1)) / (2 * MEAN)


print("Δt (ms)   change   expected   (in units of 1e-3)")
for lag in (-40, -20, -10, -5, 5, 10, 20, 40):
    at = LONGEST + lag
    print(f"{lag:7d} {1e3 * change[at]:+8.3f} {1e3 * expected(intervals[at]):+10.3f}")
distance = np.abs(change - expected(intervals)) / error
print(f"Typical distance from the expected window: {np.sqrt((distance**2).mean()):.1f} s.e.")

# %%
# Left, one neuron and its spikes. Right, the window: a synapse becomes stronger if the presynaptic
# spike comes first, and weaker if it comes second.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(1, 1.1)
)
shown = slice(0, 200)
times, s = STEP * np.arange(200), states[shown, 0]
left.plot(times, s, color="C0", label="state $s_i$")
spikes = np.flatnonzero(post[shown, 0])
left.plot(times[spikes], s[spikes], "k|", markersize=16, label="postsynaptic spike")
left.set(
    xlabel="time (ms)",
    ylabel="$s_i$, probability of a spike per step",
    title="One postsynaptic neuron",
    ylim=(0, s.max() * 1.35),
)
left.legend(loc="upper right", ncols=2)
fine = np.linspace(intervals[0], intervals[-1], 801)
right.errorbar(intervals, change, error, fmt=".", color="C0", label="simulated, ± 1 s.e.")
right.plot(fine, expected(fine), color="C1", label="−slope of the correlation")
right.axhline(0, color="grey", linewidth=0.8)
right.axvline(0, color="grey", linewidth=0.8)
right.set(
    xlabel="Δt = $t_{post} - t_{pre}$ (ms)",
    ylabel="mean change of the synapse, $\\rho(s_j)\\, ds_i$",
    title="The window that Eq. 2 leaves in an experiment",
)
top = change.max()
right.text(
    0.97, 0.93, "pre before post:\nstronger", transform=right.transAxes, ha="right", va="top"
)
right.text(0.03, 0.07, "post before pre:\nweaker", transform=right.transAxes)
right.set_ylim(-1.35 * top, 1.35 * top)
right.legend(loc="upper left")
plt.show()
