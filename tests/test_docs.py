"""The worked example of docs/adding-a-model.md, applied to a copy of the source: it stays true, and what it adds trains."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "adding-a-model.md").read_text()
TRAIN = """
from pathlib import Path
import sys
import pandas as pd
import torch
from crystalgen.config import load_study
from crystalgen.crystals import read_crystals
from crystalgen.generative.jobs import run_job
from crystalgen.represent.tensors import matrix_tensors, save_tensors
from crystalgen.generative.jobs import load_data

folder = Path(sys.argv[1])
table = read_crystals("data/library/crystals.parquet")
table = table[table["nsites"] <= 5].head(200).reset_index(drop=True)
table["split"] = ["val" if i % 5 == 0 else "train" for i in range(len(table))]
save_tensors(matrix_tensors(table), folder / "matrix.safetensors")
model = load_study("encoder").models["matrix_generation_encoder"]
model = model.model_copy(update={"training": model.training.model_copy(update={"steps": 3, "batch_size": 8, "threads": 1})})
(run,) = run_job(model, folder / "matrix.safetensors", folder / "checkpoints")
data = load_data(model, folder / "matrix.safetensors")
batch = data.batch(data.items(1)[:4])
held = (batch.condition["atomic_numbers"] > 0)[..., None] | (torch.arange(batch.x.shape[1]) >= batch.x.shape[1] - 3)[None, :, None]
padded = torch.where(held, batch.x, batch.x + 1.0)
with torch.no_grad():
    one, other = (run.net(x, torch.full((4,), 0.5), batch.condition) for x in (batch.x, padded))
assert torch.allclose(one[held.expand_as(one)], other[held.expand_as(one)], atol=1e-6), "padding is heard"
print(type(run.net).__name__, one.shape == batch.x.shape)
"""


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "copy"
    for name in ("src", "studies", "data/library"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    for block in re.findall(r"^```diff\n(.*?)^```$", PAGE, re.S | re.M):
        done = subprocess.run(["patch", "-p1", "--fuzz=0"], cwd=folder, input=block, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + block
    (study,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.S | re.M)
    (folder / "studies/encoder").mkdir()
    (folder / "studies/encoder/study.yaml").write_text(study)
    return folder


def test_the_worked_example_applies_trains_and_does_not_hear_padding(copy, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "CRYSTALGEN_ROOT": str(copy)}
    done = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["RowEncoder", "True"]


def test_the_worked_example_is_short():
    added = [line for line in re.findall(r"^\+(?!\+).*$", PAGE, re.M)] + re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.S | re.M)[
        0
    ].splitlines()
    assert len(added) < 100
