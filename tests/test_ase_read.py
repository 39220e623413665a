"""Outputs of GPAW as rows: the repository's own calculations, and broken copies of them that never read as converged."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from crystalgen.dft.ingest import find_calculations, ingest, read_calculation

DFT = Path(__file__).parents[1] / "data" / "dft" / "known"
TAB2 = DFT / "03-TaB2-191"


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of a calculation's folder."""
    return Path(shutil.copytree(TAB2, tmp_path / "run"))


def _static(folder: Path) -> dict:
    files = find_calculations(folder)[(".", "static")]
    return read_calculation({kind: str(path) for kind, path in files.items()}, limit=20)


def _text(folder: Path) -> str:
    return gzip.decompress((folder / "static.txt.gz").read_bytes()).decode()


def test_a_finished_run_is_a_row_with_its_settings(run):
    row = _static(run)
    assert row["status"] == "converged"
    assert row["formula"] == "Ta1B2" and row["nsites"] == 3 and row["code"] == "GPAW"
    assert row["energy"] == pytest.approx(float(_text(run).split("Extrapolated:")[1].split()[0]), abs=1e-9)
    assert row["max_force"] < 1e-3, "by symmetry"
    assert json.loads(row["settings"])["cutoff_ev"] == 520
    assert len(json.loads(row["potentials"])) == 2
    np.testing.assert_allclose(np.linalg.det(row["lattice"]), 27.6, atol=0.3)  # Å^3


def test_the_formation_energy_of_tab2_is_the_materials_projects():
    energies = {name: _static(DFT / name)["energy_per_atom"] for name in ("00-B-166", "01-Ta-229", "03-TaB2-191")}
    formation = energies["03-TaB2-191"] - (energies["01-Ta-229"] + 2 * energies["00-B-166"]) / 3
    assert formation == pytest.approx(-0.649, abs=0.02)  # MP's, eV/atom


def test_no_broken_copy_reads_as_converged(run):
    """More than 200 mutations: cut anywhere, bytes overwritten, no compression, another run's files."""
    text, found = _text(run).encode(), []
    end = text.index(b"Forces in eV/Ang")
    mutations = {f"cut at {share:.3f}": text[: int(share * len(text))] for share in np.linspace(0, 0.999, 100)}
    rng = np.random.default_rng(0)
    for number in range(100):
        start = int(rng.integers(0, end - 200))
        mutations[f"garbage {number}"] = text[:start] + rng.bytes(200) + text[start + 200 : int(rng.integers(start + 200, len(text)))]
    mutations |= {"empty": b"", "zeros": bytes(5000), "garbage": rng.bytes(5000)}
    for name, content in mutations.items():
        (run / "static.txt.gz").write_bytes(gzip.compress(content))
        row = _static(run)
        assert row["status"].startswith(("failed: ", "unconverged: ")), name
        found.append(row["status"])
    (run / "static.txt.gz").write_bytes(gzip.compress(text)[:2000])
    assert _static(run)["status"].startswith("failed: static.txt.gz: EOFError")
    assert len(mutations) > 200 and len(set(found)) > 3


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda given: given["settings"]["static"].update(cutoff_ev=700.0), "failed: input.json asks for other settings"),
        (lambda given: given["settings"].update(functional="LDA"), "failed: input.json asks for other settings"),
        (lambda given: given["atomic_numbers"].__setitem__(0, 74), "failed: input.json asks for another crystal"),
        (lambda given: given.pop("settings"), "failed: input.json: KeyError"),
    ],
)
def test_an_output_that_is_not_its_inputs_is_refused(run, change, status):
    given = json.loads((run / "input.json").read_text())
    change(given)
    (run / "input.json").write_text(json.dumps(given))
    assert _static(run)["status"].startswith(status)


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (None, "unconverged: no record.json"),
        ({"status": "finished", "relax_converged": False}, "unconverged: ionic steps"),
        ({"status": "failed: KohnShamConvergenceError", "relax_converged": None}, "failed: KohnShamConvergenceError"),
    ],
)
def test_a_run_that_did_not_finish_says_so(run, record, status):
    (run / "record.json").unlink()
    if record:
        (run / "record.json").write_text(json.dumps(record))
    assert _static(run)["status"].startswith(status)


def test_outputs_elsewhere_are_found_by_what_they_begin_with(run, tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy(run / "static.txt.gz", tmp_path / "mine" / "tab2.out.gz")
    (tmp_path / "mine" / "notes.txt").write_text("nothing of a code")
    table = ingest(tmp_path / "mine", tmp_path / "cache", workers=1)
    assert table[["id", "calculation", "status"]].to_numpy().tolist() == [[".", "tab2", "converged"]]
    assert table["settings_id"][0] != _static(run)["settings_id"], "what was asked for is not known"
