"""Machine-learned potentials by name, as ASE calculators. Two come with the environment; the others where they are installed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from ase.calculators.calculator import Calculator

from crystalgen.potentials import potentials


@dataclass(frozen=True)
class Potential:
    """source: the name that its energies carry; package: what is to be installed; load: its ASE calculator."""

    source: str
    package: str
    load: Callable[[], Calculator]


def calculator(name: str) -> Calculator:
    """The calculator of a potential, made once a process; one thread, since processes share the machine.

    Raises:
        ValueError: no potential is known by this name.
        ModuleNotFoundError: its package is not installed.
    """
    return _load(_known(name))


def energy_source(name: str) -> str:
    """What energies of a potential are called, so that they mix with no other's."""
    return _known(name).source


def package_of(name: str) -> str:
    """The package whose version a potential's results depend on."""
    return _known(name).package


def _known(name: str) -> Potential:
    if name not in POTENTIALS:
        raise ValueError(f"potential '{name}': expected one of {list(POTENTIALS)}")
    return POTENTIALS[name]


@cache
def _load(potential: Potential) -> Calculator:
    torch.set_num_threads(1)
    try:
        return potential.load()
    except ImportError as error:
        raise ModuleNotFoundError(f"{potential.source} needs {potential.package}: pip install {potential.package} ({error})") from None


def _sevennet(model: str) -> Callable[[], Calculator]:
    def load() -> Calculator:
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(model, device="cpu")

    return load


def _mace() -> Calculator:
    from mace.calculators import mace_mp

    return mace_mp(model="medium", default_dtype="float64", device="cpu")


def _orb() -> Calculator:
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    return ORBCalculator(pretrained.orb_v3_conservative_inf_omat(device="cpu"), device="cpu")


def _mattersim() -> Calculator:
    from mattersim.forcefield import MatterSimCalculator

    return MatterSimCalculator(device="cpu")


POTENTIALS = {
    "chgnet": Potential(potentials.GEOMETRY_SOURCE, "chgnet", potentials.chgnet_calculator),
    "7net-l3i5": Potential(potentials.ENERGY_SOURCE, "sevenn", _sevennet("7net-l3i5")),
    "7net-0": Potential("7net-0", "sevenn", _sevennet("7net-0")),
    "mace-mp-0": Potential("MACE-MP-0 medium", "mace-torch", _mace),
    "orb-v3": Potential("ORB v3 conservative inf OMat", "orb-models", _orb),
    "mattersim": Potential("MatterSim v1", "mattersim", _mattersim),
}
