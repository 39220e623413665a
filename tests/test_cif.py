"""CIFs as people have them: each is the crystal that it says it is, or is refused with its own reason."""

import time

import numpy as np
import pytest
from cif_case import CUBIC, IDENTITY, ROCKSALT, cif
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystalgen.crystals.cif import read_cif

BRUCITE = (3.142, 3.142, 4.766, 90, 90, 120)
PLAIN = ("label", "fract_x", "fract_y", "fract_z")
TYPED = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
COUNTED = ("type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z", "occupancy")
HEXAGONAL = ("x,y,z", "-y,x-y,z", "-x+y,-x,z", "-x,-y,z+1/2", "y,-x+y,z+1/2", "x-y,x,z+1/2")  # P 63


def _formula(text: str) -> str:
    (parsed,) = read_cif(text)
    assert parsed.structure is not None, parsed.reason
    assert parsed.reason is None
    return parsed.structure.formula.replace(" ", "")


def _reason(text: str) -> str:
    (parsed,) = read_cif(text)
    assert parsed.structure is None, parsed.structure
    assert parsed.notes == ()
    assert "\n" not in parsed.reason
    return parsed.reason


def _notes(text: str) -> str:
    (parsed,) = read_cif(text)
    return "; ".join(parsed.notes)


def test_a_sound_cif_is_read_as_its_sites_say():
    (parsed,) = read_cif("\ufeff" + cif(ROCKSALT, formula="Cl Na", units=4, volume=179.41, density=2.164))
    assert (parsed.name, parsed.notes) == ("", ())
    expected = Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, [[float(x) for x in row.split()[2:5]] for row in ROCKSALT])
    assert StructureMatcher(primitive_cell=False).fit(parsed.structure, expected)
    assert parsed.structure.lattice.volume == pytest.approx(179.406, abs=1e-2)
    assert not any(parsed.structure.site_properties) and parsed.structure.is_ordered


# hydroxyl and water


def test_hydroxyl_labels_are_oxygen_beside_their_hydrogens():
    rows = ["Mg1 0 0 0", "OH1 0.333333 0.666667 0.2203", "OH2 0.666667 0.333333 0.7797"]
    hydrogens = ["H1 0.333333 0.666667 0.4130", "H2 0.666667 0.333333 0.5870"]
    text = cif(rows + hydrogens, BRUCITE, columns=PLAIN, formula="H2 Mg O2")
    assert _formula(text) == "Mg1H2O2"
    assert "'OH1' read as O" in _notes(text)
    assert _formula(cif(rows + hydrogens, BRUCITE, columns=PLAIN)) == "Mg1H2O2"
    assert _reason(cif(rows, BRUCITE, columns=PLAIN, formula="H2 Mg O2")).startswith("hydrogens are missing: the sites hold Mg1O2")
    assert _reason(cif(rows, BRUCITE, columns=PLAIN)).startswith("hydrogens are not given (2 more")


@pytest.mark.parametrize(("symbol", "hydrogens"), [("OH-", 2), ("OH", 2), ("O-H", 2), ("Wat", 4), ("OH2", 4), ("H2O", 4), ("OW", 4)])
def test_a_group_for_a_type_symbol_is_refused_where_its_hydrogens_are_not_given(symbol, hydrogens):
    rows = ["Mg1 Mg2+ 0 0 0", f"O1 {symbol} 0.333333 0.666667 0.2203", f"O2 {symbol} 0.666667 0.333333 0.7797"]
    assert f"hydrogens are not given ({hydrogens} more" in _reason(cif(rows, BRUCITE, columns=TYPED))
    assert "hydrogens are missing" in _reason(cif(rows, BRUCITE, columns=TYPED, formula=f"Mg O2 H{hydrogens}"))


def test_hydrogens_that_the_formula_counts_and_no_site_gives_are_missed():
    rows = ["K1 K 0 0 0", "O1 O 0.5 0.5 0.5"]
    assert _reason(cif(rows, columns=TYPED, formula="H K O")) == "hydrogens are missing: the sites hold K1O1, the formula line says H K O"
    rows = [f"{row} {n}" for row, n in zip(rows, (0, 1), strict=True)]
    assert "hydrogens are not given (1 more" in _reason(cif(rows, columns=(*TYPED, "attached_hydrogens")))


# elements


@pytest.mark.parametrize("symbol", ["Fe", "Fe3+", "Fe+3", "Fe(III)"[:2], "Fe0", "FE", "fe", "57Fe", "Feval", "Fe1A"])
def test_spellings_of_one_element(symbol):
    assert _formula(cif([f"Fe1 {symbol} 0 0 0", "Al1 Al 0.5 0.5 0.5"], (2.9, 2.9, 2.9, 90, 90, 90), columns=TYPED)) == "Al1Fe1"


@pytest.mark.parametrize("symbol", ["Fe,Co", "Fe/Co", "FeCo", "Fe0.5Co0.5", "'0.5Fe + 0.5Co'", "SO4"])
def test_two_elements_in_one_symbol_are_refused(symbol):
    assert "names several elements" in _reason(cif([f"M1 {symbol} 0 0 0", "Al1 Al 0.5 0.5 0.5"], columns=TYPED))


@pytest.mark.parametrize("label", ["FeCo1", "Fe/Co1", "Si,Al"])
def test_two_elements_in_one_label_are_refused(label):
    assert "names several elements" in _reason(cif([f"{label} 0 0 0", "O1 0.5 0.5 0.5"], columns=PLAIN))


@pytest.mark.parametrize(
    ("label", "expected"), [("SiT1", "Si1F1"), ("NaX", "Na1F1"), ("OB1", "O1F1"), ("Fe3+T1", "Fe1F1"), ("C(11)", "C1F1"), ("W1", "W1F1")]
)
def test_labels_that_name_a_site_after_its_element(label, expected):
    assert _formula(cif([f"{label} 0 0 0", "F1 0.5 0.5 0.5"], columns=PLAIN)) == expected


@pytest.mark.parametrize(("formula", "expected"), [("Ca O", "Ca1O1"), ("C O", "C1O1")])
def test_the_formula_line_says_what_an_upper_case_label_means(formula, expected):
    rows = ["CA1 0 0 0", "O1 0.5 0.5 0.5"]
    assert _formula(cif(rows, columns=PLAIN, formula=formula)) == expected
    assert "may be Ca or C" in _reason(cif([*rows, "Mg1 0.5 0 0"], columns=PLAIN))


@pytest.mark.parametrize("symbol", ["M", "X", "Xx", "Va", "Me", "Qq", "T1"])
def test_unknown_elements_are_named(symbol):
    assert _reason(cif([f"A1 {symbol} 0 0 0"], columns=TYPED)) == f"unknown element '{symbol}' of A1"


def test_deuterium_is_read_as_hydrogen_with_a_note():
    text = cif(["Li1 Li 0 0 0", "D1 D 0.5 0.5 0.5"], columns=TYPED, formula="D Li")
    assert _formula(text) == "Li1H1"
    assert "D read as H" in _notes(text)


# occupancies and places


@pytest.mark.parametrize(("occupancy", "note"), [(".", ""), ("1.", ""), ("1.000(3)", ""), ("?", "occupancy '?' read as 1")])
def test_an_occupancy_not_given_is_one(occupancy, note):
    rows = [f"Mg1 Mg 0 0 0 {occupancy}", f"O1 O 0.5 0.5 0.5 {occupancy}"]
    assert _formula(cif(rows, formula="Mg O")) == "Mg1O1"
    assert _notes(cif(rows)) == note


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["Fe1 Fe 0 0 0 1.01", "Al2 Al 0.5 0.5 0.5 1"], "occupancy above one (1.01 of Fe at Fe1)"),
        (["Fe1 Fe 0 0 0 -1", "Al2 Al 0.5 0.5 0.5 1"], "occupancy below zero (-1 of Fe at Fe1)"),
        (["Fe1 Fe 0 0 0 0.5", "Al2 Al 0.5 0.5 0.5 1"], "partial occupancies (0.5 of Fe at Fe1); expected one element per site"),
        (["Mg1 Mg 0 0 0 1", "H3 H ? ? ? 1"], "unknown coordinates of H3 (? ? ?)"),
        (["Mg1 Mg 0 0 0 1", "H3 H . 0.5 . 1"], "unknown coordinates of H3 (. 0.5 .)"),
        (["Mg1 Mg 0 0 zero 1"], "a coordinate of Mg1 is 'zero'; expected a number"),
        (["Mg1 Mg 0 0 1e999 1"], "a coordinate of Mg1 is '1e999'; expected a number"),
        (["Na1 Na 0 0 0 1", "Cl2 Cl 0 0 0 1"], "coincident atoms Na1 and Cl2 (0.00 angstrom apart)"),
        (["Na1 Na 0 0 0 1", "Na2 Na 0 0 0.9999 1"], "coincident atoms Na1 and Na2 (0.00 angstrom apart)"),
        (["Na1 Na 0 0 0 0"], "no atom sites with an occupancy above zero"),
        (["Na1 Na 0 0 0"], "a loop_ has no full row"),
        (["Na1 Na 0 0 0 1 1"], "a loop_ has a row with values missing or to spare"),
    ],
)
def test_each_refusal_says_its_own_reason(rows, reason):
    assert _reason(cif(rows)) == reason


def test_all_sites_and_all_operations_too_are_refused():
    rows = [f"Na Na{i} 1 {row.split(' ', 2)[2]}" if i < 4 else f"Cl Cl{i - 4} 1 {row.split(' ', 2)[2]}" for i, row in enumerate(ROCKSALT)]
    text = cif(rows, operations=None, columns=COUNTED, hm="Fm-3m", number=225, formula="Na4 Cl4", units=4)
    assert "are images of one another under F m -3 m: all sites are given and all operations too" in _reason(text)
    assert "all sites are given" in _reason(cif(ROCKSALT, operations=(*IDENTITY, "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z")))


def test_dummies_and_empty_sites_are_left_out_with_a_note():
    text = cif(["Mg1 Mg 0 0 0 1", "O1 O 0.5 0.5 0.5 1", "X1 X 0.2 0.2 0.2 0"])
    assert _formula(text) == "Mg1O1"
    assert "X1 left out (occupancy 0)" in _notes(text)


# special positions


@pytest.mark.parametrize("third", ["0.333", "0.3333", "0.33", "0.3334", "0.33333333"])
def test_rounded_thirds_are_moved_onto_their_position(third):
    """Wurtzite-like in P 63: without the move each atom would come thrice, a few hundredths of an angstrom apart."""
    rest = {"0.333": "0.667", "0.3333": "0.6667", "0.33": "0.67", "0.3334": "0.6666"}.get(third, "0.66666667")
    rows = [f"Zn1 Zn {third} {rest} 0 1", f"S1 S {third} {rest} 0.375 1"]
    text = cif(rows, (3.82, 3.82, 6.26, 90, 90, 120), HEXAGONAL, hm="P 63")
    assert _formula(text) == "Zn2S2"
    (parsed,) = read_cif(text)
    assert np.abs(parsed.structure.frac_coords[:, :2] * 3 - np.round(parsed.structure.frac_coords[:, :2] * 3)).max() < 1e-9
    assert ("moved by" in _notes(text)) == (third in ("0.333", "0.33"))


def test_a_site_between_one_place_and_two_is_refused():
    rows = ["Zn1 Zn 0.29 0.71 0 1"]
    assert _reason(cif(rows, (3.82, 3.82, 6.26, 90, 90, 120), HEXAGONAL)).startswith("images of Zn1 under the listed operations are")


def test_coordinates_of_a_list_without_symmetry_stay_as_they_are():
    (parsed,) = read_cif(cif(["Zn1 Zn 0.3333 0.6667 0.1667 1"]))
    np.testing.assert_array_equal(parsed.structure.frac_coords, [[0.3333, 0.6667, 0.1667]])


# an asymmetric unit beside the identity


def _unit(multiplicities=(4, 4), hm="Fm-3m", **values) -> str:
    rows = [f"Na Na0 {multiplicities[0]} 0 0 0 1", f"Cl Cl1 {multiplicities[1]} 0.5 0.5 0.5 1"]
    return cif(rows, columns=COUNTED, hm=hm, **values)


@pytest.mark.parametrize("values", [{"multiplicities": (4, 4)}, {"multiplicities": ("?", "?"), "formula": "Cl Na", "units": 4}])
def test_an_asymmetric_unit_gets_its_group(values):
    (parsed,) = read_cif(_unit(**values))
    assert parsed.structure.formula == "Na4 Cl4"
    assert parsed.structure.get_space_group_info(symprec=0.01)[1] == 225
    assert "the operations of F m -3 m used" in parsed.notes[0]


def test_an_asymmetric_unit_of_which_nothing_says_so_is_refused():
    assert "1 of the 192 operations of Fm-3m are listed" in _reason(_unit(("?", "?")))
    assert "1 of the 192 operations of Fm-3m are listed" in _reason(_unit(("?", "?"), formula="Na Cl"))


def test_all_sites_beside_the_name_of_their_group_are_all():
    assert _formula(cif(ROCKSALT, hm="F m -3 m")) == "Na4Cl4"
    assert _formula(cif(ROCKSALT, hm="F m -3 m", formula="Na Cl", units=4)) == "Na4Cl4"


def test_listed_operations_without_the_centring_are_completed():
    operations = ("x,y,z", "-x,-y,-z")
    rows = ["Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"]
    assert _formula(cif(rows, operations=operations, hm="F m m m", formula="Na Cl", units=4)) == "Na4Cl4"


# what the file says of itself


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"formula": "Na Cl2"}, "the sites hold Na4Cl4 where the formula line says Na Cl2"),
        ({"formula": "Na Cl Br"}, "the sites hold Na4Cl4 (no Br) where"),
        ({"formula": "Na"}, "the sites hold Na4Cl4 (also Cl) where"),
        ({"formula": "Na?Cl"}, "formula line 'Na?Cl' cannot be read"),
        ({"formula": "Na Cl", "units": 2}, "the cell holds 4 formula units of Na Cl where _cell_formula_units_Z says 2"),
        ({"formula": "Na Cl", "density": 4.33}, "a density of 2.164 g/cm3 where"),
        ({"density": 4.33}, "a density of 2.164 g/cm3 where"),
        ({"volume": 89.7}, "lengths and angles make a cell of 179.41 cubic angstrom where _cell_volume says 89.7"),
    ],
)
def test_a_crystal_that_is_not_what_its_file_says_is_refused(values, reason):
    assert _reason(cif(ROCKSALT, **values)).startswith(reason)


@pytest.mark.parametrize(
    "values", [{"formula": "Na4 Cl4", "units": 4}, {"formula": "Cl1 Na1", "units": 4}, {"formula": "NaCl"}, {"formula": "?"}]
)
def test_formula_lines_of_either_habit_agree(values):
    assert _formula(cif(ROCKSALT, **values)) == "Na4Cl4"


def test_molecules_of_an_element_agree_with_the_formula_that_pymatgen_writes():
    rows = [f"O{i} O {x} 0 0 1" for i, x in enumerate((0.1, 0.3, 0.6, 0.8))]
    assert _formula(cif(rows, formula="O4", units=2)) == "O4"


def test_a_cell_that_lacks_the_symmetry_of_its_operations_is_refused():
    operations = ("x,y,z", "-y,x,z", "-x,-y,z", "y,-x,z")
    assert "does not have the symmetry of the listed operations" in _reason(cif(["W1 W 0 0 0 1"], (3, 4, 5, 90, 90, 90), operations))


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        (("x,y,z", "-x,-y"), "symmetry operation '-x,-y' has 2 parts; expected three"),
        (("x,y,z", "-x,-y,q"), "symmetry operation '-x,-y,q' cannot be read"),
        (("x,y,z", "x,x,z"), "symmetry operation 'x,x,z' is no isometry of a lattice"),
        (("x,y,z", "-y,x,z"), "the listed operations form no group (an operation is missing or misprinted)"),
    ],
)
def test_operations_that_are_none_are_named(operations, reason):
    assert _reason(cif(["W1 W 0 0 0 1"], CUBIC, operations)) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no crystal at all", "no data block"),
        ("data_x\n_cell_length_a 3\n", "no atom sites"),
        (cif(ROCKSALT).replace("_cell_length_b", "_cell_width_b"), "no cell: _cell_length_b not given"),
        (cif(ROCKSALT).replace("_cell_length_b 5.64", "_cell_length_b ?"), "no cell: _cell_length_b not given"),
        (cif(ROCKSALT, (3, 3, 3, 120, 120, 130)), "no cell: angles 120, 120, 130 close no cell"),
        (cif(ROCKSALT, (3, 3, -3, 90, 90, 90)), "no cell: lengths and angles are 3, 3, -3"),
        (cif(ROCKSALT, (3, 3, 0.01, 90, 90, 90)), "no cell: its faces are less than 0.5 angstrom apart"),
        (cif(ROCKSALT).replace("_fract_", "_Cartn_"), "atom sites with Cartesian coordinates alone"),
        (cif(ROCKSALT) + "_cell_length_a 6.0\n", "_cell_length_a is given 2 times: 5.64, 6.0"),
        (cif(ROCKSALT) + cif(ROCKSALT)[cif(ROCKSALT).rindex("loop_") :], "several loops of atom sites"),
    ],
)
def test_what_a_block_lacks_is_named(text, reason):
    assert _reason(text).startswith(reason)


# blocks


def test_each_block_is_a_crystal_of_its_own():
    blocks = [
        cif(ROCKSALT, name="NaCl"),
        "data_paper\n_publ_section_title 'no atoms here'\n",
        cif(["Fe1 Fe 0 0 0 0.5"], name="alloy"),
        cif(["Cs1 Cs 0 0 0 1", "Cl2 Cl 0.5 0.5 0.5 1"], name="CsCl"),
        cif(["Cs1 Cs 0 0 0 1", "Br2 Br 0.5 0.5 0.5 1"], name="CsCl"),
    ]
    parsed = read_cif("\n".join(blocks))
    assert [p.name for p in parsed] == ["NaCl", "alloy", "CsCl", "CsCl"]
    assert [p.structure and p.structure.formula for p in parsed] == ["Na4 Cl4", None, "Cs1 Cl1", "Cs1 Br1"]
    assert parsed[1].reason.startswith("partial occupancies")


# habits of the sources


def test_the_icsd_prints_a_dot_for_zero():
    columns = ("label", "type_symbol", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z", "occupancy")
    rows = ["Cs1 Cs1+ 1 . . . 1.", "Cl1 Cl1- 1 .5 .5 .5 1."]
    text = cif(rows, (4.12, 4.12, 4.12, 90, 90, 90), columns=columns, formula="Cl1 Cs1", units=1, hm="P 1")
    assert _formula(text) == "Cs1Cl1"
    assert "coordinates '.' read as 0" in _notes(text)


def test_shelxl_gives_the_order_of_the_site_symmetry_for_the_multiplicity():
    rows = ["Na Na0 2 0 0 0 1", "Cl Cl1 1 0.3 0.4 0.2 1"]
    assert _formula(cif(rows, operations=("x,y,z", "-x,-y,-z"), columns=COUNTED, hm="P -1")) == "Na1Cl2"
    assert "has 1 images under the listed operations where its multiplicity is given as 4" in _reason(
        cif(["Na Na0 4 0 0 0 1"], operations=("x,y,z", "-x,-y,-z"), columns=COUNTED)
    )


def test_data_names_of_cif2_and_of_magnetic_cifs():
    text = cif(ROCKSALT[:1] + ROCKSALT[4:5])
    centrings = ("x,y,z,+1", "x,y+1/2,z+1/2,+1", "1/2+x,y,1/2+z,-1", "x+1/2,y+1/2,z,+1")
    magnetic = text.replace(
        "_symmetry_equiv_pos_as_xyz\n'x, y, z'",
        "_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1\nloop_\n_space_group_symop_magn_centering.xyz\n"
        + "\n".join(centrings),
    )
    assert _formula(magnetic) == "Na4Cl4"
    assert _formula(text.replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell.")) == "Na1Cl1"
    assert _reason(text + "_cell_modulation_dimension 1\n").startswith("a modulated structure")


def test_signs_and_spaces_of_other_alphabets():
    """The tokeniser drops them, and a minus lost is another crystal."""
    text = cif(["Na1 Na\u00a00 0 0 1", "Cl1 Cl 0.5 0.5 \u22120.25 1"]).replace("5.64", "\uff15.64") + "_publ_author_name 'M\u00fcller'\n"
    (parsed,) = read_cif(text)
    np.testing.assert_allclose(parsed.structure.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.75]])
    assert _reason(cif(["Na1 Na 0 0 0\u00b725 1"])) == "a coordinate of Na1 is '0?25'; expected a number"


def test_thousands_of_atoms_on_one_place_are_refused_at_once():
    started = time.perf_counter()
    assert _reason(cif(["W1 W 0 0 0 1"] * 4000)) == "coincident atoms W1 and W1 (0.00 angstrom apart)"
    assert time.perf_counter() - started < 3


def test_one_site_without_a_loop():
    text = cif([], (3.16, 3.16, 3.16, 90, 90, 90)).rsplit("loop_", 1)[0]
    values = zip(("label", "type_symbol", "fract_x", "fract_y", "fract_z"), ("W1", "W", "0", "0", "0"), strict=True)
    assert _formula(text + "\n".join(f"_atom_site_{key} {value}" for key, value in values)) == "W1"


def test_a_broken_row_is_not_passed_over():
    text = cif(["Na1 Na 0 0 0 1", "Na2 Na 0.5 0.5 0.5 1"]).replace("Na2 Na", "_Na2 Na")
    assert "belongs to no loop and no name" in _reason(text)
