"""Which machine-learned potentials there are, as ASE calculators: two come with the environment, the others where they are installed.

CHGNet 0.3.0 gives geometries; SevenNet 7net-l3i5 gives every energy that is kept. CHGNet's energies carry the Materials Project's
corrections and SevenNet's are plain PBE: they are never mixed. Packages are imported when a calculator is first made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from crystalgen.potentials.outcome import Outcome

    Together = Callable[[Sequence[Atoms]], list[Outcome]]


@dataclass(frozen=True)
class Potential:
    """source: the name that its energies carry; package: what is to be installed; load: makes its ASE calculator.

    together: gives the function that answers many cells by one call, where there is one. elements: atomic numbers that it was trained on.
    """

    source: str
    package: str
    load: Callable[[], "Calculator"]
    together: Callable[[], "Together"] | None = None
    elements: frozenset[int] = frozenset(range(1, 95)) - {84, 85, 86, 87, 88}  # H to Ac and Th to Pu without Po, At, Rn, Fr, Ra:
    # the 89 elements of the Materials Project's relaxations, and of OMat24 and MatterSim's data alike


def find_potential(name: str) -> Potential:
    """Return a potential by name.

    Raises:
        ValueError: no potential is known by this name.
    """
    if name not in POTENTIALS:
        raise ValueError(f"potential '{name}': expected one of {list(POTENTIALS)}")
    return POTENTIALS[name]


@cache
def calculator(name: str) -> "Calculator":
    """Return a potential's calculator, made once a process, for one thread, since processes share the machine.

    Raises:
        ValueError: no potential is known by this name.
        ModuleNotFoundError: its package is not installed.
    """
    found = find_potential(name)
    try:
        import torch

        torch.set_num_threads(1)
        return found.load()
    except ImportError as error:
        raise ModuleNotFoundError(f"{found.source} needs {found.package}: pip install {found.package} ({error})") from None


def _chgnet() -> "Calculator":
    from crystalgen.potentials.chgnet import CHGNetForces, chgnet

    return CHGNetForces(chgnet())


def _sevennet_together() -> "Together":
    from crystalgen.potentials.sevennet import sevennet_together

    return sevennet_together


def _sevennet(model: str) -> Callable[[], "Calculator"]:
    def load() -> "Calculator":
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(model, device="cpu")

    return load


def _mace() -> "Calculator":
    from mace.calculators import mace_mp

    return mace_mp(model="medium", default_dtype="float64", device="cpu")


def _orb() -> "Calculator":
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    return ORBCalculator(pretrained.orb_v3_conservative_inf_omat(device="cpu"), device="cpu")


def _mattersim() -> "Calculator":
    from mattersim.forcefield import MatterSimCalculator

    return MatterSimCalculator(device="cpu")


POTENTIALS = {
    "chgnet": Potential("CHGNet 0.3.0", "chgnet", _chgnet, lambda: calculator("chgnet").together),
    "7net-l3i5": Potential("7net-l3i5", "sevenn", _sevennet("7net-l3i5"), _sevennet_together),
    "7net-0": Potential("7net-0", "sevenn", _sevennet("7net-0")),
    "mace-mp-0": Potential("MACE-MP-0 medium", "mace-torch", _mace),
    "orb-v3": Potential("ORB v3 conservative inf OMat", "orb-models", _orb),
    "mattersim": Potential("MatterSim v1", "mattersim", _mattersim),
}
GEOMETRY, ENERGY = "chgnet", "7net-l3i5"  # the library's potentials
GEOMETRY_SOURCE, ENERGY_SOURCE = POTENTIALS[GEOMETRY].source, POTENTIALS[ENERGY].source
