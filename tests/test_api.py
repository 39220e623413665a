"""`import crystalgen as cg`: each function on structures, ASE Atoms, files and tables."""

import inspect
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import generic
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from search_case import boride_library, counted_potentials

import crystalgen as cg
from crystalgen.api.crystals import as_crystals, describe, with_structures
from crystalgen.crystals import CrystalTableError, from_structures, to_structures, write_crystals, write_structure_files
from crystalgen.experiments import generate_crystals as experiment
from crystalgen.experiments import trained
from crystalgen.utils import paths

counted = pytest.fixture(counted_potentials)
KINDS = ["structure", "atoms", "structures", "atoms list", "folder", "file", "files", "parquet", "csv", "table", "frame", "cif frame"]


@pytest.fixture
def given(tmp_path):
    """The same two crystals, or the first of them, as each kind of input."""
    pair = [generic(seed, ["Ta", "W", "B", "B"]) for seed in (1, 2)]
    table = from_structures(pair, "s")
    files = write_structure_files(table, tmp_path / "cifs")
    write_crystals(table, tmp_path / "pair.parquet")
    cifs = pd.DataFrame({"cif": [file.read_text() for file in files]})
    cifs.to_csv(tmp_path / "pair.csv", index=False)
    atoms = [AseAtomsAdaptor.get_atoms(structure, msonable=False) for structure in pair]
    return {
        "structure": pair[0], "atoms": atoms[0], "structures": pair, "atoms list": tuple(atoms), "folder": tmp_path / "cifs",
        "file": str(files[0]), "files": files, "parquet": tmp_path / "pair.parquet", "csv": tmp_path / "pair.csv", "table": table,
        "frame": pd.DataFrame({"structure": pair, "id": ["a", "b"], "note": ["x", "y"]}), "cif frame": cifs,
    }  # fmt: skip


@pytest.fixture
def interim(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "INTERIM", tmp_path / "interim")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_crystals_are_read_from_anything(given, kind):
    found = cg.read_crystals(given[kind])
    assert len(found) == (1 if kind in ("structure", "atoms", "file") else 2)
    assert found["formula"].eq("Ta1B2W1").all() and found["id"].is_unique
    for structure, expected in zip(found["structure"], given["structures"], strict=False):
        np.testing.assert_allclose(structure.lattice.abc, expected.lattice.abc, rtol=1e-6)
        one, other = (np.sort(crystal.distance_matrix, axis=None) for crystal in (structure, expected))  # CIFs sort the sites
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_further_columns_come_along_and_a_result_is_an_input_again(given):
    found = cg.read_crystals(given["frame"])
    assert found["id"].tolist() == ["a", "b"] and found["note"].tolist() == ["x", "y"]
    again = cg.read_crystals(found)
    pd.testing.assert_frame_equal(again.drop(columns="structure"), found.drop(columns="structure"))
    library = boride_library()
    back = as_crystals(with_structures(library))
    pd.testing.assert_frame_equal(back[library.columns.tolist()], library)
    np.testing.assert_array_equal(np.stack(back["lattice"]), np.stack(library["lattice"]))


def test_rows_of_a_table_that_was_sorted_keep_what_belongs_to_them():
    library = with_structures(boride_library()).iloc[::-1]
    assert as_crystals(library)["energy_per_atom"].tolist() == [-9.15, -11.0, -12.0, -6.0]


PARTIAL = Structure(Lattice.cubic(3), [{"Ta": 0.5, "W": 0.5}], [[0, 0, 0]])
FLAT = AseAtomsAdaptor.get_atoms(generic(1, ["Ta"]), msonable=False)
FLAT.pbc = False


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        (3, TypeError, "got int; expected pymatgen Structures or ASE Atoms"),
        (None, TypeError, "got NoneType; expected"),
        ({"a": 1}, TypeError, "got dict; expected"),
        (Molecule(["O"], [[0, 0, 0]]), TypeError, "got Molecule whose item 0 is Site; expected"),
        ([generic(1, ["Ta"]), "a.cif"], TypeError, "got list whose item 1 is str; expected"),
        ([], CrystalTableError, "got an empty list"),
        ("nowhere.cif", FileNotFoundError, "nowhere.cif: there is no such file or folder"),
        (["nowhere.cif"], FileNotFoundError, "nowhere.cif: there is no such file or folder"),
        (pd.DataFrame({"x": [1]}), TypeError, r"a DataFrame with the columns \['x'\]; expected"),
        ([generic(1, ["Ta"]), PARTIAL], CrystalTableError, "list of 2 crystals: 1 of 2 crystals cannot be read: crystal-1: partial"),
        (FLAT, CrystalTableError, "periodic in no direction, expected three"),
        (pd.DataFrame({"structure": [None], "id": ["x"]}), CrystalTableError, "x: no structure, but NoneType"),
        (pd.DataFrame({"cif": ["nonsense"]}), CrystalTableError, "cannot be read: 0: "),
    ],
)  # fmt: skip
def test_an_error_names_what_was_got_and_what_is_expected(what, error, message):
    with pytest.raises(error, match=message):
        cg.read_crystals(what)


def test_broken_crystals_are_left_out_if_asked():
    assert len(cg.read_crystals([generic(1, ["Ta"]), PARTIAL], skip_broken=True)) == 1
    assert describe(PARTIAL) == "Structure of 1 crystal"


@pytest.mark.parametrize("kind", KINDS)
def test_match_takes_any_kind(given, kind):
    targets = given["structures"] if kind not in ("structure", "atoms", "file") else given["structure"]
    verdicts = cg.match(given[kind], targets, workers=1)
    assert verdicts["matched"].all() and verdicts["rms"].max() < 1e-4


def test_match_says_which_target_a_sample_has(given):
    pair = given["structures"]
    assert cg.match(pair, pair[::-1], workers=1)["matched"].tolist() == [False, False]
    assert cg.match(pair, pair[0], workers=1)["matched"].tolist() == [True, False]
    named = given["frame"].assign(target_id=["b", "a"])
    verdicts = cg.match(named, given["frame"], workers=1)
    assert verdicts[["id", "target_id", "matched"]].to_numpy().tolist() == [["a", "b", False], ["b", "a", False]]
    with pytest.raises(ValueError, match="1 samples and 2 targets: expected as many of both"):
        cg.match(pair[0], pair)
    with pytest.raises(ValueError, match="target_id 'c' is none of the targets' ids"):
        cg.match(named.assign(target_id=["b", "c"]), given["frame"])
    with pytest.raises(ValueError, match="expected three numbers"):
        cg.match(pair, pair, tolerances=(0.2,))
    with pytest.raises(ValueError, match="tolerance of sites 0: expected a number above 0"):
        cg.match(pair, pair, tolerances=(0.2, 0, 5))


@pytest.mark.parametrize("kind", ["atoms list", "structures", "folder", "frame"])
def test_evaluate_returns_tables_and_writes_only_where_told(given, kind, interim):
    found = cg.evaluate(given[kind], given["structures"], cutoffs=None, workers=1, out=interim / "out" if kind == "frame" else None)
    metrics = found.metrics.set_index("metric")["value"]
    assert metrics["valid_structure"] == 1 and metrics["novel"] == 0 and metrics["unique"] == 1
    assert len(found.crystals) == 2 and "valid_structure" in found._repr_html_()
    if kind == "frame":
        assert found.page == interim / "out" / "index.html" and "Evaluation of table of 2 crystals" in found.page.read_text()
    else:
        assert found.page is None and found.facts["Reference"] == "list of 2 crystals: 2 crystals"


def test_evaluate_counts_what_is_broken_and_takes_a_side(given, interim):
    reference = given["frame"].assign(split=["train", "val"])
    found = cg.evaluate([given["structure"], PARTIAL], reference, split="val", cutoffs="none", workers=1)
    assert found.metrics.set_index("metric")["value"]["valid_structure"] == 0.5
    assert found.facts["Crystals"] == "1 readable, 1 not"
    with pytest.raises(ValueError, match="table of 2 crystals: no crystals of the split 'test'"):
        cg.evaluate(given["structure"], reference, split="test", workers=1)
    with pytest.raises(ValueError, match="cutoffs 'mp': expected one of"):
        cg.evaluate(given["structure"], reference, cutoffs="mp", workers=1)


@pytest.mark.parametrize("kind", ["structure", "atoms list", "folder", "frame"])
def test_relax_returns_structures_above_a_hull(given, kind, interim, counted):
    relaxed = cg.relax(given[kind], reference=boride_library(), workers=1)
    assert relaxed["relaxation"].eq("converged").all() and relaxed["e_above_hull"].notna().all()
    assert all(isinstance(structure, Structure) for structure in relaxed["structure"])
    assert relaxed["structure"][0].volume == pytest.approx(given["structure"].volume * 0.9, rel=1e-6)


def test_relax_has_a_row_for_what_cannot_be_read(given, interim, counted):
    relaxed = cg.relax([given["structure"], PARTIAL], workers=1, out=interim / "out")
    assert relaxed["relaxation"].tolist()[0] == "converged" and relaxed["relaxation"][1].startswith("failed: partial occupancies")
    assert relaxed["structure"][1] is None
    assert len(pd.read_csv(interim / "out" / "relaxation.csv")) == 2


def test_ingest_gives_structures(tmp_path, interim):
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        cg.ingest(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"table.txt: expected a \.parquet or a \.csv"):
        cg.ingest(tmp_path, out="table.txt")
    with pytest.raises(ValueError, match="no calculations"):
        cg.ingest(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "OUTCAR").write_text("nothing")
    runs = cg.ingest(tmp_path, workers=1, out=tmp_path / "runs.csv")
    assert runs[["id", "status"]].to_numpy().tolist() == [["run", "failed: no vasprun.xml"]] and runs["structure"][0] is None
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 1


def test_generate_returns_ranked_structures_and_writes_where_told(tmp_path, monkeypatch):
    made = from_structures([generic(seed, ["Ta", "W", "B", "B"]) for seed in (1, 2)], "m", valid=[True, True], novel=[True, False])
    made = made.assign(
        e_above_hull=[0.1, np.nan], energy_per_atom=-9.0, formation_energy_per_atom=[-0.3, np.nan], energy_source=["7net", None],
        asked_space_group=pd.array([1, 1], dtype="Int16"), asked_formation_energy_per_atom=-0.6, known_id=[None, "x"], copies=0, status="",
        strict_space_group=pd.array([1, 1], dtype="Int16"),
    )  # fmt: skip
    requests = []
    monkeypatch.setattr(trained, "conditional_model", lambda study, model: None)
    monkeypatch.setattr(experiment, "generate_crystals", lambda study, request, model: requests.append(request) or (made, "flow"))
    crystals = cg.generate("Ta1W1B2", n=2, energy=-0.6, study="demo", workers=1, out=tmp_path / "out")
    assert requests == [experiment.Request("Ta1W1B2", 2, None, -0.6, False, 0, 1)]
    assert crystals.attrs["model"] == "flow" and crystals["structure"][0].composition.reduced_formula == "TaB2W"
    assert len(list((tmp_path / "out" / "cifs").glob("*.cif"))) == 2
    assert to_structures(as_crystals(crystals))[1] == crystals["structure"][1]


def test_importing_crystalgen_takes_nothing_along():
    code = """
import sys
import crystalgen as cg
dir(cg), cg.generate.__doc__
heavy = {"torch", "pymatgen", "pandas", "numpy", "ase", "pydantic", "typer"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_offered_is_documented():
    assert set(cg.__all__) <= set(dir(cg))
    for name in cg.__all__:
        text = inspect.getdoc(getattr(cg, name))
        assert all(f"{section}:" in text for section in ("Args", "Returns", "Raises", "Example")), name
        missing = [parameter for parameter in inspect.signature(getattr(cg, name)).parameters if f"\n    {parameter}: " not in text]
        assert not missing, (name, missing)
    with pytest.raises(AttributeError, match="no attribute 'sample'; it offers evaluate, export, generate"):
        cg.sample  # noqa: B018
