"""The hardware of an estimator with the parameter `substrate`, which every call uses."""

from dataclasses import replace
from typing import Any

from sklearn_eqprop._estimators.parameters.checks import Fault, refuse
from sklearn_eqprop._estimators.parameters.config import Config
from sklearn_eqprop._network import Network
from sklearn_eqprop._substrates.hardware.connected import ConnectedHardware
from sklearn_eqprop._training.trainer import ABILITIES


def with_hardware(estimator: Any, config: Config) -> Config:
    """Return the parameters of a fitted estimator, with hardware in place of its description.

    It is the one that the last fit has connected. If ``set_params`` has changed `substrate` since,
    it is a new one, to which the weights are copied.
    """
    return replace(config, substrate=_hardware_of(estimator, config.substrate))


def hardware_to_train(draft: Any, config: Config, network: Network, *, first: bool) -> Config:
    """Return the parameters with hardware to train, which the draft keeps.

    Except in the `first` fit of a network, it is the hardware of the last call.

    Raises
    ------
    ValueError
        If the hardware lacks something that a parameter needs.
    SubstrateError
        If it cannot be connected.
    """
    hardware = (
        ConnectedHardware(config.substrate) if first else _hardware_of(draft, config.substrate)
    )
    hardware.place(network)
    _check_abilities(config, hardware)
    has_slopes = hardware.can("slopes")
    hardware.rate_coordinates = config.reads_rates and config.rates_differ and has_slopes
    vars(draft)["_hardware"] = hardware
    return replace(config, substrate=hardware)


def _hardware_of(estimator: Any, description: Any) -> ConnectedHardware:
    hardware: ConnectedHardware | None = vars(estimator).get("_hardware")
    if hardware is None or hardware.description != description:
        return ConnectedHardware(description)
    return hardware


def _check_abilities(config: Config, hardware: ConnectedHardware) -> None:
    """Refuse what hardware does not say that it can."""
    faults: list[Fault] = []

    def need(methods: tuple[str, ...], what: str, instead: str) -> None:
        for method in methods:
            if not hardware.can(method):
                ability = ABILITIES.get(method, "another ability")
                why = f"it needs {ability}, and the substrate has no method {method}"
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
    if config.pushes_away and not hardware.pushes_away:
        what = f"beta={config.influence!r} with nudging={config.nudging!r}"
        why = "it pushes the output away from the target, and the substrate has pushes_away=False"
        faults.append((what, why, "nudging='one_sided' with a positive beta"))
    refuse(f"substrate={hardware!r}", faults, "substrate=None")
