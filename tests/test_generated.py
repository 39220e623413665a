"""Any generator's output: every format gives the same crystals, and what is broken is a row with a reason."""

import argparse
import io
import tarfile
import zipfile

import ase.io
import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import CrystalTableError, to_structures, write_crystals, write_structure_files
from crystalgen.datasets.generated import read_generated
from crystalgen.matching.match import match_pairs


@pytest.fixture
def table(crystals):
    return crystals.head(12).reset_index(drop=True).assign(id=[f"c{i:02d}" for i in range(12)])


def tensors(table) -> dict:
    structures = to_structures(table)
    return {
        "frac_coords": torch.tensor(np.concatenate(table["frac_coords"].to_numpy()))[None],
        "atom_types": torch.tensor(np.concatenate(table["atomic_numbers"].to_numpy()).astype(int))[None],
        "num_atoms": torch.tensor(table["nsites"].to_numpy().astype(int))[None],
        "lengths": torch.tensor([s.lattice.abc for s in structures])[None],
        "angles": torch.tensor([s.lattice.angles for s in structures])[None],
        "eval_setting": argparse.Namespace(model_path="model"),
        "time": 3.0,
    }


def _pt(table, folder):
    torch.save(tensors(table), folder / "eval_gen.pt")
    return folder / "eval_gen.pt"


def _flat_pt(table, folder):
    """Without the axis of repeated generations, as DiffCSP's samples."""
    torch.save({k: v[0] if torch.is_tensor(v) else v for k, v in tensors(table).items()}, folder / "flat.pt")
    return folder / "flat.pt"


def _folder(table, folder):
    write_structure_files(table, folder / "cifs")
    return folder / "cifs"


def _zip(table, folder):
    with zipfile.ZipFile(folder / "gen.zip", "w") as archive:
        for path in _folder(table, folder).iterdir():
            archive.write(path, f"gen/{path.name}")
    return folder / "gen.zip"


def _tar(table, folder):
    with tarfile.open(folder / "gen.tar.gz", "w:gz") as archive:
        archive.add(_folder(table, folder), "gen")
    return folder / "gen.tar.gz"


def _extxyz(table, folder):
    atoms = [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in to_structures(table)]
    ase.io.write(folder / "gen.extxyz", atoms, format="extxyz")
    return folder / "gen.extxyz"


def _csv(table, folder):
    texts = [path.read_text() for path in sorted(_folder(table, folder).iterdir())]
    pd.DataFrame({"material_id": table["id"], "cif": texts}).to_csv(folder / "gen.csv", index=False)
    return folder / "gen.csv"


def _parquet(table, folder):
    write_crystals(table, folder / "gen.parquet")
    return folder / "gen.parquet"


@pytest.mark.parametrize("write", [_pt, _flat_pt, _folder, _zip, _tar, _extxyz, _csv, _parquet])
def test_every_format_gives_the_same_crystals(table, tmp_path, write):
    found, broken = read_generated(write(table, tmp_path), workers=1)
    assert broken.empty
    assert found["formula"].tolist() == table["formula"].tolist()
    verdicts = match_pairs(found, table, workers=1)
    assert verdicts["matched"].all()
    np.testing.assert_allclose(verdicts["rms"], 0, atol=1e-3)


def test_repeated_generations_are_further_crystals(table, tmp_path):
    data = tensors(table)
    torch.save({k: torch.cat([v, v]) if torch.is_tensor(v) else v for k, v in data.items()}, tmp_path / "two.pt")
    found, _ = read_generated(tmp_path / "two.pt")
    assert len(found) == 2 * len(table)
    assert found["id"].is_unique


FAULTS = {
    "NaN": ("frac_coords", np.nan, "not finite"),
    "no volume": ("lengths", 0.0, "not finite"),
    "impossible angles": ("angles", 170.0, "not finite"),
    "unknown species": ("atom_types", 119, "unknown element"),
    "no species": ("atom_types", 0, "unknown element"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_crystal_among_tensors_is_a_row_with_a_reason(table, tmp_path, fault):
    key, value, reason = FAULTS[fault]
    data = tensors(table)
    data[key][0, 0] = value
    torch.save(data, tmp_path / "gen.pt")
    found, broken = read_generated(tmp_path / "gen.pt")
    assert len(found) == len(table) - 1
    assert broken["id"].tolist() == ["0-0"]
    assert reason in broken["reason"][0]


def test_broken_files_are_rows_with_reasons(table, tmp_path):
    folder = _folder(table, tmp_path)
    whole = (folder / "c00.cif").read_text()
    (folder / "c01.cif").write_text("")
    (folder / "c02.cif").write_bytes(bytes(range(256)) * 20)
    (folder / "c03.cif").write_text(whole[: len(whole) // 2])
    (folder / "c04.cif").write_text(whole.replace(table["formula"][0][:2], "Qq"))
    found, broken = read_generated(folder, workers=1)
    assert len(found) + len(broken) == len(table)
    assert {"c01.cif", "c02.cif", "c03.cif"} <= set(broken["id"])
    assert (broken["reason"].str.len() > 5).all()


def test_a_torn_extxyz_keeps_the_frames_before(table, tmp_path):
    path = _extxyz(table, tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: table["nsites"][:3].sum() + 6]) + "\nno number\n")
    found, broken = read_generated(path, workers=1)
    assert len(found) == 3
    assert "expected the number of atoms" in broken["reason"][0]


class _Evil:
    def __reduce__(self):
        return print, ("run",)


def test_code_in_a_tensor_file_is_never_run(table, tmp_path, capsys):
    torch.save({**tensors(table), "extra": _Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CrystalTableError, match=r"evil\.pt: not loaded.*write its tensors anew"):
        read_generated(tmp_path / "evil.pt")
    assert "run" not in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("gen.pt", b"not a tensor", "not loaded"),
        ("gen.zip", b"not a zip", "not a readable archive"),
        ("gen.tar.gz", b"not a tar", "not a readable archive"),
        ("gen.csv", b"id,shape\n1,x\n", "lacks the column 'cif'"),
        ("gen.csv", b"id,structure\n1,x\n", "no crystal in the column 'structure'"),
        ("gen.txt", b"nowhere.cif\n", "none of which is a crystal"),
        ("gen.npz", b"", "not loaded"),
    ],
)
def test_what_is_no_such_file_says_what_was_expected(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CrystalTableError, match=expected):
        read_generated(tmp_path / name)


def test_missing_keys_and_shapes_are_named(table, tmp_path):
    data = tensors(table)
    torch.save({k: v for k, v in data.items() if k != "angles"}, tmp_path / "lacks.pt")
    with pytest.raises(CrystalTableError, match=r"lacks \['angles'\]"):
        read_generated(tmp_path / "lacks.pt")
    torch.save({**data, "num_atoms": data["num_atoms"] + 1}, tmp_path / "sums.pt")
    with pytest.raises(CrystalTableError, match="do not fit"):
        read_generated(tmp_path / "sums.pt")


def test_nothing_is_written_from_an_archive(table, tmp_path):
    path = tmp_path / "climb.tar"
    text = (_folder(table, tmp_path) / "c00.cif").read_bytes()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("../outside.cif")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    found, broken = read_generated(path, workers=1)
    assert found.empty and broken["reason"].tolist() == ["its name leads out of the archive's folder"]
    assert not (tmp_path.parent / "outside.cif").exists()


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(CrystalTableError, match="holds no crystals"):
        read_generated(tmp_path)
    with pytest.raises(CrystalTableError, match="no such file"):
        read_generated(tmp_path / "absent")
