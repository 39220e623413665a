"""Sources: each reader gives the crystals that are in the file, and names what is broken in it."""

import numpy as np
import pandas as pd
import pytest
from conftest import caesium_chloride, generic, rocksalt
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.config import Filter
from crystalgen.crystals import CrystalTableError, formulas, to_structures, write_crystals, write_structure_files
from crystalgen.datasets.sources import load_polymorphs, load_source
from crystalgen.datasets.tables import read_benchmark

# Benchmark parquet


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("perov_5", {"train": 11356, "val": 3787}),
        ("carbon_24", {"train": 6091, "val": 2032}),
        ("mp_20", {"train": 25907, "val": 8884}),
    ],
)
class TestBenchmark:
    @pytest.fixture(scope="class")
    def tables(self, shared_data):
        cache = {}

        def get(name):
            if name not in cache:
                path = shared_data / f"{name}.parquet"
                cache[name] = read_benchmark(path), pd.read_parquet(path)
            return cache[name]

        return get

    def test_every_row_is_there_with_its_split(self, tables, name, splits):
        table, _ = tables(name)
        assert table["split"].value_counts().to_dict() == splits
        assert table["id"].is_unique
        assert set(table["source"]) == {name}

    def test_crystals_are_those_of_the_file(self, tables, name, splits):
        table, raw = tables(name)
        for row in (0, len(raw) // 2, len(raw) - 1):
            lattice = Lattice.from_parameters(*raw["lattice"][row])
            by_hand = Structure(lattice, [int(z) for z in raw["z"][row]], np.reshape(raw["frac"][row], (-1, 3)))
            assert to_structures(table.iloc[[row]])[0] == by_hand

    def test_formulas_are_those_of_the_atoms(self, tables, name, splits):
        """Models' samples are compared with targets by formula: one spelling for all, whatever the file calls its own."""
        table, _ = tables(name)
        full, reduced = formulas(table["atomic_numbers"].tolist())
        assert table["formula"].tolist() == full
        assert table["reduced_formula"].tolist() == reduced

    def test_an_energy_has_a_source(self, tables, name, splits):
        table, _ = tables(name)
        assert (table["energy_source"].notna() == table["formation_energy_per_atom"].notna()).all()


def _benchmark(tmp_path, **columns):
    frame = pd.DataFrame(
        {"lattice": [[4.0, 4, 4, 90, 90, 90]] * 3, "z": [[55, 17]] * 3, "frac": [[0.0, 0, 0, 0.5, 0.5, 0.5]] * 3} | columns
    )
    path = tmp_path / "set.parquet"
    frame.to_parquet(path)
    return path


def test_load_source_finds_the_space_groups_of_a_benchmark(tmp_path):
    table = load_source(_benchmark(tmp_path))
    assert table["space_group"].tolist() == [221] * 3
    assert table["symprec"].tolist() == [0.1] * 3


def test_names_that_come_twice_are_told_apart(tmp_path):
    assert read_benchmark(_benchmark(tmp_path, id=["a", "b", "a"]))["id"].tolist() == ["a", "b", "a-row2"]


@pytest.mark.parametrize(
    "columns",
    [
        {"frac": [[0.0, 0, 0, 0.5, 0.5, 0.5], [0.0, 0, 0, 0.5, 0.5], [0.0] * 6]},
        {"lattice": [[4.0, 4, 4, 90, 90, 90], [4.0, 4, 4], [4.0] * 6]},
        {"z": [[55, 17], [55, 0], [55, 17]]},
        {"z": [[55, 17], [55], [55, 17]]},
        {"lattice": [[4.0, 4, 4, 90, 90, 90], [np.nan, 4, 4, 90, 90, 90], [4.0, 4, 4, 90, 90, 90]]},
        {"split": ["train", "training", "val"]},
    ],
)
def test_a_broken_benchmark_is_a_crystal_table_error_with_the_path(tmp_path, columns):
    path = _benchmark(tmp_path, **columns)
    with pytest.raises(CrystalTableError) as error:
        load_source(path)
    assert str(path) in str(error.value)


# CSV


@pytest.fixture
def frame():
    structures = [rocksalt(5.6), caesium_chloride(4.1, "Cs", "Cl"), generic(4, ["Ta", "W", "B"])]
    return pd.DataFrame(
        {
            "material_id": ["mp-1", "mp-2", "mp-3"],
            "cif": [s.to(fmt="cif") for s in structures],
            "formation_energy_per_atom": [-1.5, np.nan, 0.25],
            "split": ["train", "test", "val"],
        }
    )


def test_a_csv_gives_its_crystals_with_energies_and_splits(frame, tmp_path):
    path = tmp_path / "set.csv"
    frame.to_csv(path, index=False)
    table = load_source(path)
    assert table["id"].tolist() == ["mp-1", "mp-2", "mp-3"]
    assert table["split"].tolist() == ["train", "test", "val"]
    np.testing.assert_array_equal(table["formation_energy_per_atom"], [-1.5, np.nan, 0.25])
    assert table["energy_source"].tolist() == ["set", None, "set"]
    assert table["space_group"].tolist() == [225, 221, 1]
    matcher = StructureMatcher()
    for text, structure in zip(frame["cif"], to_structures(table), strict=True):
        assert matcher.fit(Structure.from_str(text, fmt="cif"), structure)


@pytest.mark.parametrize("text", ["not a crystal", "", np.nan])
def test_a_bad_cif_in_a_csv_is_named_by_its_id(frame, tmp_path, text):
    frame.loc[1, "cif"] = text
    path = tmp_path / "set.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(CrystalTableError, match=r"1 of 3 crystals cannot be read: mp-2: ") as error:
        load_source(path)
    assert str(path) in str(error.value)


def test_a_csv_without_a_cif_column_says_what_it_has(frame, tmp_path):
    path = tmp_path / "set.csv"
    frame.drop(columns="cif").to_csv(path, index=False)
    with pytest.raises(CrystalTableError, match="lacks the column 'cif'.*material_id"):
        load_source(path)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00\x81cif", b'cif\n"unclosed'])
def test_a_csv_that_cannot_be_read_is_a_crystal_table_error_with_the_path(tmp_path, content):
    path = tmp_path / "set.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CrystalTableError) as error:
        load_source(path)
    assert str(path) in str(error.value)


# Folders


def test_a_folder_of_mixed_files_gives_every_crystal_once(crystals, tmp_path):
    crystals = crystals.assign(id=[f"c{i:02d}" for i in range(len(crystals))])
    for format, rows in (("cif", slice(0, 5)), ("poscar", slice(5, 8)), ("extxyz", slice(8, 12))):
        write_structure_files(crystals.iloc[rows], tmp_path / format, format)
    (tmp_path / "deep").mkdir()
    (tmp_path / "poscar" / "c05.poscar").rename(tmp_path / "deep" / "POSCAR")
    (tmp_path / "poscar" / "c06.poscar").rename(tmp_path / "deep" / "CONTCAR")
    (tmp_path / "notes.txt").write_text("not a crystal")
    table = load_source(tmp_path)
    assert len(table) == 12
    assert {"deep/POSCAR", "deep/CONTCAR", "poscar/c07.poscar", "cif/c00.cif", "extxyz/c11.extxyz"} <= set(table["id"])
    by_id = dict(zip(table["id"], to_structures(table), strict=True))
    matcher = StructureMatcher()
    for row, name in ((0, "cif/c00.cif"), (5, "deep/POSCAR"), (6, "deep/CONTCAR"), (11, "extxyz/c11.extxyz")):
        assert matcher.fit(to_structures(crystals.iloc[[row]])[0], by_id[name])


@pytest.mark.parametrize("name", ["broken.cif", "POSCAR", "broken.vasp", "broken.extxyz"])
def test_a_broken_file_in_a_folder_is_named(crystals, tmp_path, name):
    write_structure_files(crystals.head(3).assign(id=["a", "b", "c"]), tmp_path)
    (tmp_path / name).write_bytes(b"\x00\x01 nonsense \xff")
    with pytest.raises(CrystalTableError) as error:
        load_source(tmp_path)
    assert f"{tmp_path}: 1 of 4 crystals cannot be read: {name}: " in str(error.value)


@pytest.mark.parametrize("suffix", ["cif", "poscar"])
def test_an_unknown_element_is_refused_and_its_file_named(tmp_path, suffix):
    """pymatgen reads `Xx` as a dummy species whose atomic number is a hash."""
    rocksalt(5.6).to(filename=str(tmp_path / f"x.{suffix}"), fmt=suffix)
    text = (tmp_path / f"x.{suffix}").read_text()
    (tmp_path / f"x.{suffix}").write_text(text.replace("Na", "Xx"))
    with pytest.raises(CrystalTableError, match=f"x.{suffix}.*Xx"):
        load_source(tmp_path)


@pytest.mark.parametrize("files", [[], ["readme.txt", "table.csv"]])
def test_a_folder_without_crystals_says_what_was_expected(tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(CrystalTableError, match="holds no crystals.*; expected structure files such as .cif, POSCAR or .extxyz") as error:
        load_source(tmp_path)
    assert str(tmp_path) in str(error.value)


# Dispatch


def test_load_source_reads_a_crystals_table(crystals, tmp_path):
    write_crystals(crystals, tmp_path / "t.parquet")
    assert load_source(tmp_path / "t.parquet")["id"].tolist() == crystals["id"].tolist()


def test_load_source_finds_space_groups_where_they_are_missing(crystals, tmp_path):
    known = crystals["space_group"].copy()
    half = crystals.assign(space_group=known.where(np.arange(len(known)) % 2 == 0, pd.NA))
    write_crystals(half, tmp_path / "t.parquet")
    assert load_source(tmp_path / "t.parquet")["space_group"].equals(known)


def test_load_source_keeps_space_groups_that_are_there(crystals, tmp_path):
    write_crystals(crystals.assign(space_group=pd.array([1] * len(crystals), dtype="Int16"), symprec=0.01), tmp_path / "t.parquet")
    assert set(load_source(tmp_path / "t.parquet")["space_group"]) == {1}


@pytest.mark.parametrize("name", ["absent.parquet", "absent", "notes.md"])
def test_load_source_says_what_it_reads(tmp_path, name):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(CrystalTableError, match="expected a folder") as error:
        load_source(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_load_source_names_a_parquet_of_something_else(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(CrystalTableError, match="lacks the columns") as error:
        load_source(tmp_path / "t.parquet")
    assert str(tmp_path / "t.parquet") in str(error.value)


def test_a_named_column_is_the_formation_energy(crystals, tmp_path):
    heat = np.linspace(-2, 1, len(crystals))
    heat[1] = np.nan
    write_crystals(crystals.assign(heat_ref=heat), tmp_path / "t.parquet")
    table, _ = load_polymorphs(tmp_path / "t.parquet", Filter(polymorphs=False, min_sites=1), "heat_ref")
    np.testing.assert_array_equal(table["formation_energy_per_atom"], heat)
    assert table["energy_source"].isna().tolist() == np.isnan(heat).tolist()
    assert table["energy_source"].iloc[0] == f"{crystals['source'].iloc[0]} heat_ref"
    with pytest.raises(CrystalTableError, match=r"t\.parquet: data\.energy: no column of numbers 'heat'; expected one of \[.*'heat_ref'"):
        load_polymorphs(tmp_path / "t.parquet", Filter(polymorphs=False, min_sites=1), "heat")


def test_space_groups_do_not_depend_on_how_a_cell_is_described(crystals):
    moved = crystals.assign(
        frac_coords=[x[::-1] + 0.137 for x in crystals["frac_coords"]], atomic_numbers=[z[::-1] for z in crystals["atomic_numbers"]]
    )
    assert find_space_groups(moved)["space_group"].tolist() == crystals["space_group"].tolist()


def test_formulas_of_one_composition_are_spelt_alike():
    full, reduced = formulas([np.array([73, 74, 5, 5]), np.array([5, 74, 5, 73])])
    assert full[0] == full[1]
    assert reduced[0] == reduced[1] == Composition("TaWB2").reduced_formula
