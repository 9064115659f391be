"""
============================================
Spike-timing dependent plasticity from Eq. 2
============================================

The paper's learning rule is local in time: a synapse changes by its presynaptic rate times the
change of its postsynaptic state, dW_ij ∝ ρ(s_j) ds_i (Eq. 2, Scellier et al. 2018). Biologists
measure something else: the change of a synapse when a presynaptic spike comes some milliseconds
before or after a postsynaptic spike. This script derives the second from the first.

* Postsynaptic neurons are leaky integrators (Eq. 1) with a fluctuating drive. They spike at random
  with probability ρ(s_i) per step. Presynaptic spikes come at random.
* At every presynaptic spike the synapse changes by ds_i. The rule does not use postsynaptic spikes.
* Then, as in an experiment, the changes are sorted by the time from the presynaptic to a
  postsynaptic spike, and averaged.

At a postsynaptic spike s_i is probably high, so it probably rises before and falls after. For a
leaky integrator driven by white noise the correlation in time is exp(-|t| / τ). The window is minus
its slope, sign(Δt) exp(-|Δt| / τ): the shape that Bi and Poo measured (1998).

::

    python examples/plot_stdp_window.py
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # draws into a file, needs no screen

import matplotlib.pyplot as plt
import numpy as np

#: Time constant of a neuron and length of a step, ms.
TAU = 20.0
STEP = 1.0
#: Probability of a presynaptic spike per step.
PRE_RATE = 0.1
#: Mean and standard deviation of the state, inside the range [0, 1] of the hard sigmoid.
MEAN, SPREAD = 0.2, 0.07


def parse(argv=None):
    parser = argparse.ArgumentParser(description="The STDP window of dW = rho(s_j) ds_i.")
    parser.add_argument("--neurons", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1500, help="steps of 1 ms")
    parser.add_argument("--longest", type=int, default=60, help="largest interval, ms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", metavar="PATH", default="stdp_window.png")
    return parser.parse_args(argv)


def simulate(n_neurons, n_steps, rng):
    """Return states, presynaptic and postsynaptic spikes, each (n_steps, n_neurons)."""
    leak = STEP / TAU
    # This size of the noise gives the stationary state its spread.
    noise = SPREAD * np.sqrt(1 - (1 - leak) ** 2)
    states = np.empty((n_steps, n_neurons), dtype=np.float32)
    s = MEAN + SPREAD * rng.standard_normal(n_neurons)
    for step in range(n_steps):
        # Euler step of Eq. 1, ds/dt = drive - s, with a fluctuating drive.
        s = s + leak * (MEAN - s) + noise * rng.standard_normal(n_neurons)
        states[step] = s
    post = rng.random_sample(states.shape) < np.clip(states, 0, 1)
    pre = rng.random_sample(states.shape) < PRE_RATE
    return states, pre, post


def window(states, pre, post, longest):
    """Return the mean change at presynaptic spikes with a postsynaptic spike Δt later, by Δt.

    Returns
    -------
    intervals, change, error : ndarrays
        Δt in ms, negative if the postsynaptic spike came first; the mean change of Eq. 2 and its
        standard error.
    """
    ds = np.zeros_like(states)
    ds[1:-1] = (states[2:] - states[:-2]) / 2
    inner = slice(longest + 1, len(states) - longest - 1)
    rows, columns = np.nonzero(pre[inner])
    rows += inner.start
    at_pre = ds[rows, columns]
    lags = np.arange(-longest, longest + 1)
    means, errors = [], []
    for lag in lags:
        paired = at_pre[post[rows + lag, columns]]
        means.append(paired.mean())
        errors.append(paired.std() / np.sqrt(len(paired)))
    return lags * STEP, np.array(means), np.array(errors)


def expected(intervals):
    """Return E[ds | a postsynaptic spike Δt later], for a rate of ρ(s) = s."""
    leak = STEP / TAU

    def correlation(steps):
        return SPREAD**2 * (1 - leak) ** np.abs(steps)

    steps = intervals / STEP
    return (correlation(steps - 1) - correlation(steps + 1)) / (2 * MEAN)


def draw(path, intervals, change, error, states, post):
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv=None):
    options = parse(argv)
    rng = np.random.RandomState(options.seed)
    states, pre, post = simulate(options.neurons, options.steps, rng)
    intervals, change, error = window(states, pre, post, options.longest)
    print("Δt (ms)   change   expected   (in units of 1e-3)")
    for lag in (-40, -20, -10, -5, 5, 10, 20, 40):
        at = np.flatnonzero(intervals == lag)
        if at.size:
            values = 1e3 * change[at[0]], 1e3 * expected(intervals[at[0]])
            print(f"{lag:7d} {values[0]:+8.3f} {values[1]:+10.3f}")
    distance = np.abs(change - expected(intervals)) / error
    print(f"Typical distance from the expected window: {np.sqrt((distance**2).mean()):.1f} s.e.")
    draw(options.output, intervals, change, error, states, post)
    print(f"Picture: {options.output}")


if __name__ == "__main__":
    main()
