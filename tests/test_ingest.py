"""VASP folders as a table: energies are pymatgen's, and no broken copy crashes, hangs or reads as converged."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
from pymatgen.io.vasp import Vasprun

from crystalgen.cli import main
from crystalgen.dft import vasp, vasprun
from crystalgen.dft.ingest import COLUMNS, find_calculations, ingest, read_calculation


@pytest.fixture(scope="module")
def samples(shared_data):
    return shared_data / "vasp_samples"


@pytest.fixture(scope="module")
def table(samples, tmp_path_factory):
    return ingest(samples, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def calculations(samples):
    return find_calculations(samples)


def test_every_calculation_is_a_row_with_pymatgens_energy(table, samples, calculations):
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == len(calculations) == 25
    others = {"other: bands at a fixed density (ICHARG 11)": 3, "other: linear response (IBRION 8)": 1}
    assert table["status"].value_counts().to_dict() == {"converged": 21} | others
    for row, files in zip(table.itertuples(), calculations.values(), strict=True):
        run = Vasprun(files["vasprun.xml"], parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        assert row.energy == pytest.approx(float(run.final_energy), abs=1e-6)
        assert row.nsites == len(run.final_structure)
        np.testing.assert_allclose(row.frac_coords, run.final_structure.frac_coords)


def test_steps_of_one_folder_are_rows_of_their_own(table):
    double = table[table["id"].str.contains("old_double_relax")]
    assert double["calculation"].tolist() == ["relax1", "relax2"]
    assert double["ionic_steps"].tolist() == [3, 1]


def test_settings_tell_apart_what_must_not_share_a_hull(table):
    hybrid = table["id"].str.contains("hse")
    assert table.loc[hybrid, "settings"].str.contains("HSE").all()
    assert not set(table.loc[hybrid, "settings_id"]) & set(table.loc[~hybrid, "settings_id"])
    assert table["settings_id"].nunique() > 2, "cut-offs differ too"
    assert table.loc[hybrid, "correction_mp2020"].isna().all(), "no correction for other settings"


def test_magnetisation_is_read(table):
    iron = table[table["formula"].str.startswith("Fe")]
    assert iron["magnetisation"].notna().all()
    assert table.loc[table["formula"] == "Si2", "magnetisation"].fillna(0).abs().max() < 0.01


def _mutations(files, other) -> dict:
    """Broken copies of a calculation's files: name -> (kind, bytes), as its maker's crash, a full disk or a bad copy leave them."""
    run, out = (gzip.decompress(files[kind].read_bytes()) for kind in ("vasprun.xml", "OUTCAR"))
    packed, changes = gzip.compress(run), {}
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        changes[f"vasprun cut at {share}"] = ("vasprun.xml", run[: int(share * len(run))])
        changes[f"OUTCAR cut at {share}"] = ("OUTCAR", out[: int(share * out.rindex(b"General timing"))])  # after that all is written
    changes["packed vasprun cut"] = ("vasprun.xml.gz", packed[: len(packed) // 2])
    changes["garbage"] = ("vasprun.xml", np.random.default_rng(0).bytes(5000))
    changes["garbage, packed"] = ("vasprun.xml.gz", np.random.default_rng(0).bytes(5000))
    changes["zeros at the end"] = ("vasprun.xml", run[: len(run) // 2] + bytes(len(run) // 2))
    changes["OUTCAR of garbage"] = ("OUTCAR", np.random.default_rng(1).bytes(5000))
    changes["OUTCAR of another run"] = ("OUTCAR", gzip.decompress(other["OUTCAR"].read_bytes()))
    changes["OUTCAR of another version"] = ("OUTCAR", out.replace(b"vasp.", b"vasp.4.", 1))
    return changes


def test_no_broken_copy_reads_as_converged(calculations, tmp_path):
    """More than 400 mutations."""
    found, items = 0, list(calculations.values())
    energies = {}
    for number, files in enumerate(items):
        other = items[-1] if number < len(items) - 1 else items[0]  # iron for silicon
        for name, (target, content) in _mutations(files, other).items():
            folder = tmp_path / f"{number}-{name}"
            folder.mkdir()
            for kind, path in files.items():
                if not target.startswith(kind):
                    shutil.copy(path, folder / f"{kind}.gz")
            (folder / target).write_bytes(content)
            (calculation,) = find_calculations(folder).values()
            row = read_calculation({kind: str(path) for kind, path in calculation.items()}, limit=20)
            assert row["status"].startswith(("failed: ", "unconverged: ", "other: ")), (files, name)
            found += 1
            energies[name] = row["status"]
    assert found > 400
    assert "different runs" in " ".join(energies.values()) or "of VASP" in " ".join(energies.values())


def test_a_file_that_may_not_be_read_is_a_row(calculations, monkeypatch):
    files = {kind: str(path) for kind, path in next(iter(calculations.values())).items()}

    def denied(*args, **kwargs):
        raise PermissionError("denied")

    monkeypatch.setattr(vasprun, "Run", denied)
    assert read_calculation(files, limit=5)["status"] == "failed: vasprun.xml.gz: not readable (permission denied)"


def test_a_parser_that_hangs_is_a_row(calculations, monkeypatch):
    files = {kind: str(path) for kind, path in next(iter(calculations.values())).items()}

    def slow(*args, **kwargs):
        while True:
            pass

    monkeypatch.setattr(vasprun, "Run", slow)
    assert read_calculation(files, limit=0.2)["status"] == "failed: took longer than 0.2 s"


def test_a_new_folder_costs_only_itself(calculations, samples, tmp_path, monkeypatch):
    first, second = list(calculations.values())[:2]
    for name, files in (("a", first), ("b", second)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for path in files.values():
            shutil.copy(path, tmp_path / "runs" / name / path.name)
    shutil.move(tmp_path / "runs" / "b", tmp_path / "b")
    assert len(ingest(tmp_path / "runs", tmp_path / "cache", workers=1)) == 1
    shutil.move(tmp_path / "b", tmp_path / "runs" / "b")
    read = []
    monkeypatch.setattr("crystalgen.dft.ingest.read_vasp", lambda *a: read.append(a[0].parent.name) or vasp.read_vasp(*a))
    table = ingest(tmp_path / "runs", tmp_path / "cache", workers=1)
    assert table["id"].tolist() == ["a", "b"]
    assert read == ["b"]


def test_nothing_to_read_is_an_error_that_names_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"expected vasprun\.xml or OUTCAR"):
        ingest(tmp_path, tmp_path / "cache")
    with pytest.raises(ValueError, match="expected a folder"):
        ingest(tmp_path / "absent", tmp_path / "cache")


def test_the_command_writes_the_table_and_counts_statuses(samples, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("crystalgen.utils.paths.INTERIM", tmp_path)
    assert main(["ingest", str(samples), "--out", str(tmp_path / "table.parquet")]) == 0
    assert "21 converged" in capsys.readouterr().out
    assert len(pd.read_parquet(tmp_path / "table.parquet")) == 25
    assert main(["ingest", str(samples), "--out", str(tmp_path / "table.txt")]) == 1
