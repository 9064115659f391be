"""The average of the weights over the last updates."""

from sklearn_eqprop._network import Network

#: About the last 1/PART of all updates are averaged (compared in benchmarks/results/averages.md).
PART = 10


class WeightAverage:
    """Average of the weights, in which later updates count more (Shamir & Zhang 2013).

    After update t it moves by PART / (t + PART - 1) of the way to the present weights. So it
    averages about the last tenth of all updates, however many there are.

    Parameters
    ----------
    latest : Network
        The network that training changes in place.
    network : Network
        A network of the same layout. Its weights become the averages.
    n_updates : int
        Number of updates that `network` is already an average of.

    Attributes
    ----------
    network : Network
    n_updates : int
    """

    def __init__(self, latest: Network, network: Network, n_updates: int) -> None:
        self._latest = latest.arrays
        self.network = network
        self.n_updates = n_updates

    def take(self) -> None:
        """Take in the weights after an update."""
        self.n_updates += 1
        share = PART / (self.n_updates + PART - 1)
        for mean, array in zip(self.network.arrays, self._latest, strict=True):
            apart = array - mean
            apart *= share
            mean += apart
