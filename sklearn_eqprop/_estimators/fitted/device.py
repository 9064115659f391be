"""The device of an estimator with the parameter `substrate`: connected once, used by every call."""

from dataclasses import replace
from typing import Any

from sklearn_eqprop._estimators.parameters.checks import Fault, refuse
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._network import Network
from sklearn_eqprop._substrates.devices.connected import ConnectedDevice
from sklearn_eqprop._training.trainer import ABILITIES


def with_device(estimator: Any, config: Config) -> Config:
    """Return the parameters of a fitted estimator, with a device in place of its description.

    It is the one that the last fit has connected. If ``set_params`` has changed `substrate` since,
    it is a new one, to which the weights are copied.
    """
    return replace(config, substrate=_device_of(estimator, config.substrate))


def device_to_train(draft: Any, config: Config, network: Network, *, first: bool) -> Config:
    """Return the parameters with a device to train, which the draft keeps.

    If this is not the `first` fit of a network, it is the device of the last call.

    Raises
    ------
    ValueError
        If the device lacks something that a parameter needs.
    SubstrateError
        If it cannot be connected.
    """
    device = ConnectedDevice(config.substrate) if first else _device_of(draft, config.substrate)
    device.place(network)
    _check_abilities(config, device)
    has_slopes = device.can("slopes")
    device.rate_coordinates = config.reads_rates and config.rates_differ and has_slopes
    vars(draft)["_device"] = device
    return replace(config, substrate=device)


def _device_of(estimator: Any, description: Any) -> ConnectedDevice:
    device: ConnectedDevice | None = vars(estimator).get("_device")
    if device is None or device.device != description:
        return ConnectedDevice(description)
    return device


def _check_abilities(config: Config, device: ConnectedDevice) -> None:
    """Refuse what a device does not say that it can."""
    faults: list[Fault] = []

    def need(methods: tuple[str, ...], what: str, instead: str) -> None:
        for method in methods:
            if not device.can(method):
                why = f"it needs {ABILITIES[method]}, and the substrate has no method {method}"
                faults.append((what, why, instead))
                break

    if config.clamps:
        need(config.rule.needs, "beta=inf", "a finite beta")
    else:
        need(config.rule.needs, f"gradient={config.gradient!r}", "gradient='vector_field'")
    if not config.tied:
        what = f"feedback_learning={config.feedback_learning!r}"
        need(config.feedback_rule.needs, what, "feedback_learning='kolen_pollack'")
    if config.credit_coordinates == "rate" and config.rates_differ:
        need(("slopes",), "credit_coordinates='rate'", "credit_coordinates='auto'")
    if config.pushes_away and not device.pushes_away:
        what = f"beta={config.influence!r} with nudging={config.nudging!r}"
        why = "it pushes the output away from the target, and the substrate has pushes_away=False"
        faults.append((what, why, "nudging='one_sided' with a positive beta"))
    refuse(f"substrate={device!r}", faults, "substrate=None")
