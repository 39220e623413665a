"""CIFs that name a space group's setting: the orbits are those of spglib's operations, or the name is refused."""

import functools

import numpy as np
import pytest
import spglib
from cif_case import CUBIC, cif
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from crystalgen.crystals.cif import read_cif
from crystalgen.crystals.cif_operations import Operations, named_operations

DIAMOND = (3.567, 3.567, 3.567, 90, 90, 90)
BISMUTH = (4.746, 4.746, 4.746, 57.23, 57.23, 57.23)
CORUNDUM = (4.76, 4.76, 12.99, 90, 90, 120)


def _named(name: str) -> list[Operations]:
    return named_operations({"_symmetry_space_group_name_h-m": name})[0]


@functools.cache
def _setting(hall_number: int):
    """Return spglib's operations and a cell that has their symmetry."""
    database = spglib.get_symmetry_from_database(hall_number)
    rotations = database["rotations"]
    edges = np.array([[7.1, 0.3, -0.4], [0.2, 8.3, 0.6], [-0.5, 0.4, 9.7]])
    metric = np.mean(np.swapaxes(rotations, 1, 2) @ (edges @ edges.T) @ rotations, axis=0)
    return rotations, database["translations"], Lattice(np.linalg.cholesky(metric))


def _crystal(hall_number: int) -> tuple[Structure, list[str]]:
    """Return a crystal with a general and a special orbit, made image by image, and the rows of its two sites."""
    rotations, translations, lattice = _setting(hall_number)
    generator = np.random.default_rng(hall_number)
    while True:
        sites = {"Ta": generator.uniform(0.05, 0.95, 3).round(6), "B": generator.integers(0, 8, 3) / 8}
        species, coords = [], []
        for symbol, position in sites.items():
            orbit = []
            for image in rotations @ position + translations:
                if not orbit or np.linalg.norm(lattice.get_all_distances(image, orbit), axis=0).min() > 1e-3:
                    orbit.append(image)
            species += [symbol] * len(orbit)
            coords += orbit
        crystal = Structure(lattice, species, coords)
        distances = crystal.distance_matrix + np.eye(len(crystal))
        if distances.min() > 0.5 and len(crystal) > len(rotations):
            return crystal, [f"{s}1 {s} {x[0]:.6f} {x[1]:.6f} {x[2]:.6f} 1" for s, x in sites.items()]


def _same(one: Structure, other: Structure) -> bool:
    if one.composition != other.composition:
        return False
    distances = one.lattice.get_all_distances(one.frac_coords, other.frac_coords)
    unlike = np.array(one.atomic_numbers)[:, None] != other.atomic_numbers
    return bool(((distances + 9 * unlike).min(axis=1) < 1e-3).all())


@pytest.mark.parametrize("hall_number", range(1, 531, 7))
def test_a_setting_gives_its_own_orbits_by_each_of_its_names(hall_number):
    crystal, rows = _crystal(hall_number)
    kind = spglib.get_spacegroup_type(hall_number)
    rotations, translations, lattice = _setting(hall_number)
    cell = [f"{value:.9f}" for value in lattice.parameters]
    choice = f" :{kind.choice}" if kind.choice[:1] in ("1", "2", "H", "R") else ""
    lines = [SymmOp.from_rotation_and_translation(w, t).as_xyz_str() for w, t in zip(rotations, translations, strict=True)]
    name = kind.international_full.replace("_", "")
    certain = [{"hall": kind.hall_symbol}, {"operations": lines}]
    certain += [{"hm": name + choice}] if kind.number not in (67, 68) else []  # there two settings share a name
    for values in certain:
        (parsed,) = read_cif(cif(rows, cell, **{"operations": None, **values}))
        assert parsed.structure is not None, (values, parsed.reason)
        assert _same(parsed.structure, crystal), values
    counts = {"formula": crystal.composition.formula, "units": crystal.composition.get_reduced_composition_and_factor()[1]}
    uncertain = [{"hm": kind.international_short}, {"hm": name}, {"number": kind.number}]
    for values in [*uncertain, *({**u, **counts} for u in uncertain)]:
        (parsed,) = read_cif(cif(rows, cell, operations=None, **values))
        if hall_number in _standard() or "hm" in values:
            assert parsed.structure is None or _same(parsed.structure, crystal) or _is_convention(values, kind), values


@functools.cache
def _standard() -> set[int]:
    numbers = [spglib.get_spacegroup_type(i).number for i in range(1, 531)]
    return {numbers.index(n) + 1 for n in range(1, 231)}


def _is_convention(values: dict, kind) -> bool:
    """Return whether a short monoclinic name stands for another setting by the tables' own convention."""
    return kind.number < 16 and values.get("hm") == kind.international_short


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("F m 3 m", "F m -3 m"),
        ("Fm3m", "F m -3 m"),
        ("F 4/m -3 2/m", "F m -3 m"),
        ("P a 3", "P a -3"),
        ("I a 3 d", "I a -3 d"),
        ("F d 3 m :1", "F d -3 m :1"),
        ("F d -3 m S", "F d -3 m :1"),
        ("F d -3 m Z", "F d -3 m :2"),
        ("F d -3 m (origin choice 2)", "F d -3 m :2"),
        ("R -3 m H", "R -3 m :H"),
        ("R-3mR", "R -3 m :R"),
        ("R -3 m RS", "R -3 m :R"),
        ("R 3 c {rhombohedral axes}", "R 3 c :R"),
        ("P 6/m c c S", "P 6/m c c"),
        ("C m c a", "C m c e"),
        ("B m a b", "B m e b"),
        ("A b m 2", "A e m 2"),
        ("C c c a :2", "C c c e :2"),
        ("P 1 21/n 1", "P 1 2_1/n 1"),
        ("P 21/m 21/n 21/a", None),
        ("P 2(1)2(1)2(1)", "P 2_1 2_1 2_1"),
        ("I 2/b 2/a 2/m", "I b a m"),
        ("p 63/M M C", "P 6_3/m m c"),
        ("Fm-3m (No. 225)", "F m -3 m"),
        ("P 1 (225)", "P 1"),
    ],
)
def test_names_old_and_new(name, expected):
    if expected is None:
        with pytest.raises(ValueError, match="is in no table of settings"):
            _named(name)
    else:
        (found,) = _named(name)
        assert found.name == expected


@pytest.mark.parametrize(("name", "settings"), [("F d -3 m", 2), ("R -3 m", 2), ("P 21/n", 3), ("C 2/m 2/m 2/e", 2), ("C m m b", 1)])
def test_names_that_settings_share(name, settings):
    assert len(_named(name)) == settings


def test_each_setting_of_the_tables_is_found_by_its_hall_symbol():
    for hall_number in range(1, 531):
        database = spglib.get_symmetry_from_database(hall_number)
        named, _ = named_operations({"_symmetry_space_group_name_hall": spglib.get_spacegroup_type(hall_number).hall_symbol})
        for found in named:  # two where the tables give one setting two names
            np.testing.assert_array_equal(found.rotations, database["rotations"])
            np.testing.assert_array_equal(found.translations, database["translations"])


@pytest.mark.parametrize(
    ("values", "atoms"), [({"hm": "F d -3 m :2"}, 8), ({"hm": "F d -3 m Z"}, 8), ({"hall": "-F 4vw 2vw 3"}, 8), ({"hm": "F d -3 m :1"}, 16)]
)
def test_diamond_by_setting(values, atoms):
    (parsed,) = read_cif(cif(["C1 C 0.125 0.125 0.125 1"], DIAMOND, None, **values))
    assert len(parsed.structure) == atoms
    if atoms == 8:
        assert parsed.structure.get_space_group_info()[1] == 227
        assert parsed.structure.distance_matrix[0].min(where=np.arange(8) > 0, initial=9) == pytest.approx(1.545, abs=1e-3)


def test_an_origin_not_named_is_decided_by_the_file_or_refused():
    rows = ["C1 C 0.125 0.125 0.125 1"]
    (parsed,) = read_cif(cif(rows, DIAMOND, None, hm="F d -3 m"))
    assert parsed.reason == (
        "F d -3 m may be F d -3 m :1 (16 atoms) or F d -3 m :2 (8 atoms), and nothing in the file decides; "
        "expected its setting or its operations"
    )
    for values in ({"formula": "C", "units": 8}, {"density": 3.51}):
        (parsed,) = read_cif(cif(rows, DIAMOND, None, hm="F d -3 m", **values))
        assert len(parsed.structure) == 8
        assert parsed.notes == ("F d -3 m read as F d -3 m :2",)


@pytest.mark.parametrize("name", ["R -3 m :R", "R -3 m", "R -3 m R"])
def test_bismuth_in_rhombohedral_axes(name):
    (parsed,) = read_cif(cif(["Bi1 Bi 0.234 0.234 0.234 1"], BISMUTH, None, hm=name, number=166))
    assert parsed.structure.formula == "Bi2"


def test_axes_that_the_cell_contradicts_are_refused_or_read_as_z_says():
    rows = ["Al1 Al 0 0 0.3522 1", "O1 O 0.3063 0 0.25 1"]
    (parsed,) = read_cif(cif(rows, CORUNDUM, None, hm="R -3 c :R"))
    assert parsed.reason == "the cell does not have the symmetry of R -3 c :R"
    (parsed,) = read_cif(cif(rows, CORUNDUM, None, hm="R -3 c :R", formula="Al2 O3", units=6))
    assert parsed.structure.formula == "Al12 O18"
    assert parsed.notes == ("R -3 c :R read as R -3 c :H",)


def test_a_name_that_no_table_holds_is_refused_and_no_symmetry_is_noted():
    rows = ["W1 W 0 0 0 1"]
    (parsed,) = read_cif(cif(rows, CUBIC, None, hm="Q -3 m"))
    assert parsed.reason == "space group 'Q -3 m' is in no table of settings, and no operations are listed"
    (parsed,) = read_cif(cif(rows, CUBIC, None))
    assert parsed.notes == ("no symmetry given: read as P 1",)
    (parsed,) = read_cif(cif(rows, CUBIC, None) + "_symmetry_cell_setting cubic\n")
    assert parsed.reason == "no operations and no space group that can be read, though the file has _symmetry_cell_setting"
    (parsed,) = read_cif(cif(rows, CUBIC, hm="Q -3 m"))
    assert parsed.reason == "space group 'Q -3 m' is in no table of settings, and the identity alone is listed"
    (parsed,) = read_cif(cif(rows, CUBIC, hm="Q -3 m", formula="W", units=1))
    assert parsed.structure.formula == "W1"


def test_a_misprinted_operation_is_replaced_by_those_of_the_name():
    rows = ["W1 W 0 0 0 1", "O1 O 0.3 0.3 0 1"]
    (parsed,) = read_cif(cif(rows, (4.86, 4.86, 2.77, 90, 90, 90), ("x,y,z", "x,x,z"), hm="P 42/m n m", formula="O2 W", units=2))
    assert parsed.structure.formula == "W2 O4"
    assert "is no isometry" in parsed.notes[0]
