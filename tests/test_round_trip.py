"""Crystals written in every way that people write them, and read back: each is the same crystal or refused, none differs in silence."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction

import ase.io
import numpy as np
import pandas as pd
import pytest
import spglib
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalgen.crystals import from_structures, to_structures
from crystalgen.crystals.reading import read_text
from crystalgen.datasets.tables import read_benchmark
from crystalgen.matching.match import Tolerances, match_pairs

COUNT = 150  # crystals of the library, and as many of MP-20
MAX_SITES = 12
REFUSED = 0.03  # share of the texts of one kind that may be refused
TIGHT = Tolerances(0.005, 0.01, 0.2)


def _cif_by_pymatgen(structure: Structure) -> str:
    return str(CifWriter(structure))


def _cif_with_symmetry(structure: Structure) -> str:
    return str(CifWriter(structure, symprec=0.01))


def _cif_by_ase(structure: Structure) -> str:
    stream = io.BytesIO()
    ase.io.write(stream, AseAtomsAdaptor.get_atoms(structure, msonable=False), format="cif")
    return stream.getvalue().decode()


def _by_hand(rotation: np.ndarray, shift: np.ndarray, primitive: bool = False) -> Callable[[Structure], str]:
    """A CIF of the asymmetric unit and all operations, of a cell whose axes are mixed and whose origin is shifted."""

    def write(structure: Structure) -> str:
        analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
        cell = analyzer.get_primitive_standard_structure() if primitive else analyzer.get_refined_structure()
        lattice, coords = rotation @ cell.lattice.matrix, cell.frac_coords @ np.linalg.inv(rotation) + shift
        dataset = spglib.get_symmetry_dataset((lattice, coords, cell.atomic_numbers), symprec=0.005)
        operations = [_operation(*pair) for pair in zip(dataset.rotations, dataset.translations, strict=True)]
        moved = Structure(lattice, cell.species, coords)
        lengths, angles = moved.lattice.abc, moved.lattice.angles
        rows = [
            f"{cell.species[i]}{i} {cell.species[i]} {' '.join(f'{x:.7f}' for x in coords[i])}" for i in np.unique(dataset.equivalent_atoms)
        ]
        names = [f"_cell_length_{name} {value:.7f}" for name, value in zip("abc", lengths, strict=True)]
        names += [f"_cell_angle_{name} {value:.7f}" for name, value in zip(("alpha", "beta", "gamma"), angles, strict=True)]
        sites = ["loop_", "_atom_site_label", "_atom_site_type_symbol", *(f"_atom_site_fract_{x}" for x in "xyz"), *rows]
        formula = f"_chemical_formula_sum '{cell.formula}'\n_cell_formula_units_Z 1"
        return "\n".join(["data_hand", formula, *names, "loop_", "_symmetry_equiv_pos_as_xyz", *operations, *sites]) + "\n"

    return write


def _operation(rotation: np.ndarray, translation: np.ndarray) -> str:
    parts = []
    for row, shift in zip(rotation, translation % 1, strict=True):
        text = "".join(f"{'+' if n > 0 else '-'}{abs(n) if abs(n) > 1 else ''}{x}" for n, x in zip(row, "xyz", strict=True) if n)
        fraction = Fraction(float(shift)).limit_denominator(48)
        parts.append(text + (f"+{fraction}" if 0 < fraction < 1 else ""))
    return f"'{','.join(parts)}'"


def _poscar(structure: Structure) -> str:
    return Poscar(structure.get_sorted_structure()).get_str(significant_figures=10)


def _cartesian_poscar(structure: Structure) -> str:
    return Poscar(structure.get_sorted_structure()).get_str(direct=False, significant_figures=10)


def _poscar_of_a_volume(structure: Structure) -> str:
    """By hand: vectors in units of their own, a negative scale, and Cartesian coordinates that are scaled with them."""
    ordered = structure.get_sorted_structure()
    unit = ordered.volume ** (1 / 3) * 1.7
    rows = [" ".join(f"{x:.12f}" for x in row) for row in np.concatenate([ordered.lattice.matrix, ordered.cart_coords]) / unit]
    return "\n".join([f"x\n{-ordered.volume:.10f}", *rows[:3], *_header(ordered), "Cartesian", *rows[3:]]) + "\n"


def _selective_poscar(structure: Structure) -> str:
    """By hand: upper-case symbols, flags, and velocities after the coordinates."""
    ordered = structure.get_sorted_structure()
    vectors = [" ".join(f"{x:.10f}" for x in row) for row in ordered.lattice.matrix]
    rows = [" ".join(f"{x:.10f}" for x in row) + " T F T" for row in ordered.frac_coords]
    symbols, counts = _header(ordered)
    return "\n".join(["x\n1.0", *vectors, symbols.upper(), counts, "Selective dynamics\ndirect", *rows, "", *["0 0 0"] * len(rows)]) + "\n"


def _header(ordered: Structure) -> tuple[str, str]:
    groups = [(str(element), int(count)) for element, count in ordered.composition.items()]
    groups.sort(key=lambda group: [str(species) for species in ordered.species].index(group[0]))
    return " ".join(symbol for symbol, _ in groups), " ".join(str(count) for _, count in groups)


def _extxyz(structure: Structure) -> str:
    stream = io.StringIO()
    ase.io.write(stream, AseAtomsAdaptor.get_atoms(structure, msonable=False), format="extxyz")
    return stream.getvalue()


AS_IT_IS, ONTO_OTHERS, SHEARED = np.eye(3), np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]), np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
WRITERS: dict[str, tuple[str, Callable[[Structure], str]]] = {
    "cif by pymatgen": ("cif", _cif_by_pymatgen),
    "cif by pymatgen, with symmetry": ("cif", _cif_with_symmetry),
    "cif by pymatgen, not refined": ("cif", lambda structure: str(CifWriter(structure, symprec=0.01, refine_struct=False))),
    "cif by ASE": ("cif", _cif_by_ase),
    "cif by hand, conventional": ("cif", _by_hand(AS_IT_IS, np.zeros(3))),
    "cif by hand, primitive": ("cif", _by_hand(AS_IT_IS, np.zeros(3), primitive=True)),
    "cif by hand, origin shifted": ("cif", _by_hand(AS_IT_IS, np.array([0.25, 0.125, 0.375]))),
    "cif by hand, axes permuted and sheared": ("cif", _by_hand(SHEARED @ ONTO_OTHERS, np.zeros(3))),
    "poscar": ("poscar", _poscar),
    "poscar, Cartesian": ("poscar", _cartesian_poscar),
    "poscar, negative scale": ("poscar", _poscar_of_a_volume),
    "poscar, selective and upper case": ("poscar", _selective_poscar),
    "extxyz": ("extxyz", _extxyz),
}  # fmt: skip


def _sample(table: pd.DataFrame) -> Iterator[Structure]:
    small = table[table["nsites"] <= MAX_SITES]
    return iter(to_structures(small.sample(COUNT, random_state=0)))


@pytest.fixture(scope="module", params=["library", "mp_20"])
def structures(request) -> list[Structure]:
    if request.param == "library":
        return list(_sample(request.getfixturevalue("_library")))
    return list(_sample(read_benchmark(request.getfixturevalue("shared_data") / "mp_20.parquet")))


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_comes_back_or_is_refused(structures, kind):
    format, write = WRITERS[kind]
    before, after, refused = [], [], []
    for structure in structures:
        found = read_text(write(structure), format)
        assert len(found) == 1
        if found[0].structure is None:
            assert len(found[0].reason) > 5
            refused.append((structure.formula, found[0].reason))
        else:
            before.append(structure), after.append(found[0].structure)
    assert len(refused) <= REFUSED * len(structures), refused
    same = [one.composition.reduced_formula == other.composition.reduced_formula for one, other in zip(before, after, strict=True)]
    assert all(same)
    per_atom = [[structure.volume / len(structure) for structure in side] for side in (before, after)]
    np.testing.assert_allclose(*per_atom, rtol=2e-3)
    verdicts = match_pairs(from_structures(after, "read"), from_structures(before, "written"), TIGHT, workers=1)
    wrong = [(one.formula, other.formula) for one, other, ok in zip(before, after, verdicts["matched"], strict=True) if not ok]
    assert not wrong
