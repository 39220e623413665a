"""Files of generators and benchmarks in forms of their own, read without running anything; and what is exported comes back."""

import json
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch

import crystalgen as cg
from crystalgen.cli import main
from crystalgen.crystals import CrystalTableError, to_structures, write_crystals, write_structure_files
from crystalgen.datasets.export import FORMATS, export_table
from crystalgen.datasets.generated import read_generated
from crystalgen.datasets.tensor_files import read_targets
from crystalgen.matching.match import match_pairs
from crystalgen.metrics.paired import pair_by_target


@pytest.fixture
def table(crystals):
    return crystals.head(6).reset_index(drop=True).assign(id=[f"c{i:02d}" for i in range(6)], energy_per_atom=np.linspace(-8, -3, 6))


def tensors(table, copies: int = 1) -> dict:
    structures = to_structures(table)
    found = {
        "frac_coords": torch.tensor(np.concatenate(table["frac_coords"].to_numpy())),
        "atom_types": torch.tensor(np.concatenate(table["atomic_numbers"].to_numpy()).astype(int)),
        "num_atoms": torch.tensor(table["nsites"].to_numpy().astype(int)),
        "lengths": torch.tensor(np.array([s.lattice.abc for s in structures])),
        "angles": torch.tensor(np.array([s.lattice.angles for s in structures])),
    }
    return {name: torch.stack([values] * copies) for name, values in found.items()} if copies else found


def same(found, table, atol=1e-3):
    verdicts = match_pairs(found, table, workers=1)
    assert verdicts["matched"].all()
    np.testing.assert_allclose(verdicts["rms"], 0, atol=atol)


def as_it_is(data, folder):
    return data


def as_arrays(data, folder):
    return {name: values.numpy() for name, values in data.items()}


def as_bfloat16(data, folder):
    return data | {name: data[name].to(torch.bfloat16) for name in ("lengths", "angles")}


def as_batches(data, folder):
    halves = {name: [values[:, : values.shape[1] // 2], values[:, values.shape[1] // 2 :]] for name, values in data.items()}
    return data | {name: halves[name] for name in ("lengths", "angles", "num_atoms", "frac_coords", "atom_types")}


def as_scores(data, folder):
    return data | {"atom_types": torch.nn.functional.one_hot(data["atom_types"] - 1, 100)}


@pytest.mark.parametrize("written", [as_it_is, as_arrays, as_bfloat16, as_batches, as_scores])
def test_tensors_in_any_form_are_the_crystals(table, tmp_path, written):
    torch.save(written(tensors(table), tmp_path), tmp_path / "eval_gen.pt")
    found, broken = read_generated(tmp_path / "eval_gen.pt")
    assert broken.empty and found["formula"].tolist() == table["formula"].tolist()
    same(found, table, 0.03 if written is as_bfloat16 else 1e-3)


def _plain(data, monkeypatch):
    return data


def _geometric(data, monkeypatch):
    geometric = pytest.importorskip("torch_geometric.data", reason="torch-geometric is not installed")
    ends = np.cumsum(data["num_atoms"])[:-1]
    coords, types = (torch.tensor_split(data[name], torch.tensor(ends)) for name in ("frac_coords", "atom_types"))
    rows = zip(coords, types, data["lengths"], data["angles"], data["num_atoms"], strict=True)
    return geometric.Batch.from_data_list(
        [
            geometric.Data(frac_coords=x, atom_types=z, lengths=a[None], angles=b[None], num_atoms=n[None], num_nodes=len(z))
            for x, z, a, b, n in rows
        ]
    )


def _early_geometric(data, monkeypatch):
    """As versions before 2 pickle it: the batch's own fields."""
    module = types.ModuleType("torch_geometric.data.batch")
    batch = type("Batch", (), {"__module__": module.__name__})
    module.Batch = batch
    for name in ("torch_geometric", "torch_geometric.data"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    held = batch()
    held.__dict__.update(data)
    return held


@pytest.mark.parametrize("targets", [_plain, _geometric, _early_geometric])
def test_targets_beside_samples_are_read_and_evaluated(table, tmp_path, monkeypatch, targets):
    data = tensors(table, 3)
    data["frac_coords"][0, : table["nsites"][0]] = np.nan  # the first sample of the first target
    torch.save(data | {"input_data_batch": targets(tensors(table, 0), monkeypatch)}, tmp_path / "eval_diff.pt")
    found, broken = read_generated(tmp_path / "eval_diff.pt")
    assert found["target_place"].tolist() == [1, 2, 3, 4, 5, *range(6), *range(6)]
    assert broken[["id", "reduced_formula", "target_place", "attempt"]].to_numpy().tolist() == [["0-0", table["reduced_formula"][0], 0, 0]]
    same(read_targets(tmp_path / "eval_diff.pt"), table)
    metrics = cg.evaluate(tmp_path / "eval_diff.pt", cutoffs=None, workers=1).metrics.set_index("metric")
    at = "0.2/0.3/5, all crystals"
    assert metrics.loc[[f"match_rate, {at}", f"match_rate_3, {at}"], "value"].tolist() == pytest.approx([5 / 6, 1])
    assert metrics.loc[f"rmse_3, {at}", "value"] == pytest.approx(0, abs=1e-3)
    assert metrics.loc[f"match_rate, {at}", "n"] == 6


def test_code_beside_a_batch_is_never_run(table, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    torch.save(tensors(table) | {"input_data_batch": Evil()}, tmp_path / "eval_diff.pt")
    with pytest.raises(CrystalTableError, match="not loaded"):
        read_generated(tmp_path / "eval_diff.pt")
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_comes_back(table, tmp_path, format):
    path = export_table(table.assign(target_place=[3, 4, 5, 0, 1, 2]), tmp_path / f"all{FORMATS[format][0]}", format)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing is left beside it"
    found, broken = read_generated(path, workers=1)
    assert broken.empty
    same(found, table)
    if format in ("genbench", "mattergen", "metre"):
        np.testing.assert_allclose(found["energy_per_atom"], table["energy_per_atom"], atol=1e-6)
    if format == "metre":
        assert found["target_place"].tolist() == [3, 4, 5, 0, 1, 2]
    if format in ("genbench", "cif"):
        assert [name.removeprefix("cifs/").removesuffix(".cif") for name in found["id"]] == table["id"].tolist()


def test_the_command_exports_by_the_name(table, tmp_path, capsys):
    write_crystals(table, tmp_path / "all.parquet")
    assert main(["export", str(tmp_path / "all.parquet"), "--out", str(tmp_path / "all.csv")]) == 0
    record = json.loads(pd.read_csv(tmp_path / "all.csv")["structure"][0])
    assert (record["@module"], record["@class"]) == ("pymatgen.core.structure", "Structure")
    assert main(["export", str(tmp_path / "all.parquet"), "--out", str(tmp_path / "all.poscar")]) == 1
    assert "expected one of genbench (.csv)" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["structure", "LeMatStructs", "cif_string"])
def test_genbenchs_tables_hold_json_or_cif(table, tmp_path, column):
    texts = [s.to(fmt="cif") if column == "cif_string" else json.dumps(s.as_dict()) for s in to_structures(table)]
    disordered = json.loads(json.dumps(to_structures(table)[0].as_dict()))
    disordered["sites"][0]["species"][0]["occu"] = 0.5
    pd.DataFrame({"material_id": range(8), column: [*texts, "no crystal", json.dumps(disordered)]}).to_csv(tmp_path / "all.csv")
    found, broken = read_generated(tmp_path / "all.csv", workers=1)
    same(found, table)
    assert broken["id"].tolist() == ["6", "7"] and "partial occupancies" in broken["reason"][1]


def test_a_list_of_paths_names_each_crystal(table, tmp_path):
    files = write_structure_files(table, tmp_path / "cifs")
    (tmp_path / "all.txt").write_text("\n".join(["cifs/nowhere.cif", *(f"cifs/{file.name}" for file in files)]))
    found, broken = read_generated(tmp_path / "all.txt", workers=1)
    assert found["id"].tolist() == [f"cifs/{file.name}" for file in files]
    assert broken["id"].tolist() == ["cifs/nowhere.cif"]
    same(found, table)


def test_samples_are_aligned_by_order(table):
    twice = pd.concat([table, table.iloc[::-1]], ignore_index=True).assign(id=[str(i) for i in range(12)])
    metrics = cg.evaluate(twice, table, cutoffs=None, by_order=True, workers=1).metrics.set_index("metric")["value"]
    assert metrics["match_rate, 0.2/0.3/5, all crystals"] == 1
    named = table.iloc[[5, 1, 2, 4, 3]].assign(id=[f"0000{i}.cif" for i in (5, 1, 2, 4, 3)])
    broken = pd.DataFrame({"id": ["00000.cif"], "reason": ["broken"]})
    assert pair_by_target(named, table, broken, True)["target"].tolist() == [5, 1, 2, 4, 3]
    nothing = broken.head(0)
    assert pair_by_target(table.assign(target_id="elsewhere"), table, nothing, False) is None
    with pytest.raises(ValueError, match="target_id 'elsewhere' is none"):
        pair_by_target(table.assign(target_id=["c00", *["elsewhere"] * 5]), table, nothing, False)
    assert pair_by_target(table.assign(target_place=7), table, nothing, False) is None
    with pytest.raises(ValueError, match="8 or more targets"):
        pair_by_target(table.assign(target_place=7), table, nothing, True)
    with pytest.raises(ValueError, match="7 readable samples, 0 unreadable ones and 6 targets"):
        cg.evaluate(twice.head(7), table, cutoffs=None, by_order=True, workers=1)
    with pytest.raises(ValueError, match="no reference is given"):
        cg.evaluate(twice)
