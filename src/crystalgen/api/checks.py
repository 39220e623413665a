"""Checks of a request before torch, pymatgen or pandas is imported: each error is one line that says what was expected."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from crystalgen.utils import paths
from crystalgen.utils.formulas import ATOMIC_NUMBERS, is_system, parse_composition, parse_system
from crystalgen.utils.limits import MAX_FORMATION_ENERGY

MOST_CRYSTALS = 100_000  # of one request; they are all held in memory
MOST_ATOMS = 60  # of a compound's cell
MOST_UNITS = 16  # formula units of a primitive cell
UNKNOWN = frozenset((18, *range(84, 89), *range(95, 104)))  # atomic numbers that no source of crystals has learnt of


def check_request(n: int, space_group: int | None, energy: float | None, seed: int, workers: int) -> None:
    """Raise ValueError for numbers that nothing can be asked with: see `generate`."""
    check_number("n", n, 1, MOST_CRYSTALS)
    check_number("seed", seed, 0, 2**63 - 1)
    check_number("workers", workers, 1, 1024)
    if space_group is not None:
        check_number("space group", space_group, 1, 230)
    if energy is not None and not (isinstance(energy, Real) and abs(energy) <= MAX_FORMATION_ENERGY):  # NaN is within no bound
        raise ValueError(f"energy {energy}: expected a formation energy of -{MAX_FORMATION_ENERGY:g} to {MAX_FORMATION_ENERGY:g} eV/atom")


def check_compound(composition: str, units, steps: int) -> None:
    """Raise ValueError for a formula or chemical system that no source has learnt of, or numbers out of bounds: see `generate`."""
    amounts = dict.fromkeys(parse_system(composition), 1) if is_system(composition) else parse_composition(composition)
    if unknown := [symbol for symbol in amounts if ATOMIC_NUMBERS[symbol] in UNKNOWN]:
        raise ValueError(f"composition {composition!r}: no source has learnt of {', '.join(unknown)}; expected H to Pu without Ar "
                         "and Po to Ra")  # fmt: skip
    if (atoms := sum(amounts.values()) // math.gcd(*amounts.values())) > MOST_ATOMS:
        raise ValueError(f"composition {composition!r}: {atoms} atoms in a formula unit; expected at most {MOST_ATOMS}")
    check_number("steps", steps, 1, 10_000)
    for number in [units] if isinstance(units, int) else [] if units is None else units:
        check_number("units", number, 1, MOST_UNITS)


def check_filling(composition: str, space_group: int, units: Sequence[int] = ()) -> None:
    """Raise ValueError for a composition whose atoms cannot fill the positions of a space group; naming what is possible.

    units: formula units of primitive cells, of which one must do; without any, the composition is that of the cell.
    """
    from crystalgen.chemistry.orbits import check_possible

    if not can_fill(composition, space_group, units):
        amounts = parse_composition(composition)
        divisor = math.gcd(*amounts.values()) if units else 1
        check_possible(composition, [ATOMIC_NUMBERS[symbol] for symbol, n in amounts.items() for _ in range(n // divisor)], space_group)


def can_fill(composition: str, space_group: int, units: Sequence[int]) -> bool:
    """Return whether the atoms of some of these formula units can fill the positions of a space group's primitive cell."""
    from crystalgen.chemistry.orbits import is_possible

    amounts = parse_composition(composition).values()
    one = [count // math.gcd(*amounts) for count in amounts]
    return any(is_possible(tuple(count * times for count in one), space_group) for times in units)


def check_number(name: str, value: float, least: float, most: float = math.inf, whole: bool = True) -> None:
    """Raise ValueError unless the value is a whole number within bounds, or without `whole` a finite number above `least`."""
    if whole and not (isinstance(value, Integral) and least <= value <= most):
        raise ValueError(f"{name} {value}: expected a whole number, " + (f"{least} or more" if most == math.inf else f"{least} to {most}"))
    if not whole and not (isinstance(value, Real) and least < value < math.inf):
        raise ValueError(f"{name} {value}: expected a number above {least:g}")


def check_paths(*given) -> None:
    """Raise FileNotFoundError for the first path that leads nowhere; what is no path is left alone."""
    for path in given:
        if not isinstance(path, str | PathLike) or (path := Path(path)).exists():
            continue
        whole, raw = path.resolve(), paths.RAW.resolve()  # a link to another disk, perhaps
        if whole.is_relative_to(raw) and whole != raw:
            name = whole.relative_to(raw).parts[0]
            raise FileNotFoundError(f"{path}: not here yet; `crystalgen fetch {name}` brings the benchmark sets")
        raise FileNotFoundError(f"{path}: there is no such file or folder")


def check_table_file(path) -> None:
    """Raise ValueError unless the path, if there is one, is a .parquet or a .csv."""
    if path is not None and Path(path).suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: expected a .parquet or a .csv")
