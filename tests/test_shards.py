"""A folder of shards: the same crystals, batches and training as one file, and few shards in memory at a time."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crystalgen.generative.data.format import CRYSTALS, TABLES, TRAIN, VAL
from crystalgen.generative.data.shards import WINDOW, WINDOWS, ShardedUniMatData, write_shards
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.jobs import load_data, run_job, training_fingerprint
from crystalgen.generative.settings import UniMatModel
from crystalgen.represent.tensors import save_tensors, unimat_tensors

MODEL = {
    "representation": "unimat",
    "input": {"cell": "token"},
    "net": {"name": "places", "token": "element", "channels": 8, "blocks": 1},
    "objective": {"name": "diffusion"},
    "training": {"steps": 4, "batch_size": 8, "threads": 1, "report_every": 2, "checkpoint_every": 2, "seeds": [7]},
    "sampling": {"a": {"sampler": "ddim", "steps": 2}},
}


@pytest.fixture
def stored(crystals, tmp_path):
    """A file, the same crystals in shards of 2, and in shards of 1000."""
    splits = np.resize(np.array(["train", "train", "val", "train", "test"], dtype=object), len(crystals))
    save_tensors(unimat_tensors(crystals.assign(split=splits)), tmp_path / "u.safetensors")
    t = load_file(tmp_path / "u.safetensors")
    every = {name: t[name] for name in CRYSTALS["unimat"]}
    tables = {name: t[name] for name in TABLES["unimat"]}
    chunks = [{name: value[start : start + 7] for name, value in every.items()} for start in range(0, len(t["row"]), 7)]
    write_shards(chunks, tables, tmp_path / "small", size=2)
    write_shards([every], tables, tmp_path / "large", size=1000)
    return tmp_path


def test_shards_hold_what_the_file_holds(stored):
    whole = UniMatData(stored / "u.safetensors")
    for name in ("small", "large"):
        parts = ShardedUniMatData(stored / name)
        assert parts.mean_atoms == pytest.approx(whole.mean_atoms)
        assert torch.equal(parts.codec.seen.elements, whole.codec.seen.elements)
        for split in (TRAIN, VAL):
            rows = parts.targets(parts.items(split))
            assert sorted(rows.tolist()) == sorted(whole.targets(whole.items(split)).tolist())
            items = torch.argsort(whole.tensors["row"])[rows]
            one, other = parts.batch(parts.items(split)), whole.batch(items)
            assert torch.equal(one.x, other.x) and torch.equal(one.weight, other.weight)


def test_an_epoch_is_every_training_crystal_once_in_another_order_each_time(stored):
    data = ShardedUniMatData(stored / "small")
    epochs = [data.epoch(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], epochs[2])
    assert all(torch.equal(epoch.sort().values, data.items(TRAIN)) for epoch in epochs)


def test_few_shards_are_in_memory(stored):
    data = ShardedUniMatData(stored / "small")
    assert len(data.sizes) > 2 * WINDOW
    reads, read = [], data._read
    data._read = lambda shards: reads.extend(shards) or read(shards)
    for items in data.epoch(torch.Generator().manual_seed(1)).split(8):
        batch = data.batch(items)
        assert len(data.held) <= WINDOWS and len(batch.x) == len(items)
    assert sorted(reads) == torch.nonzero(data.split[data.first[:-1]] == TRAIN).flatten().tolist()  # each is read once an epoch
    assert len(data.take(torch.zeros(0, dtype=torch.long))["row"]) == 0


def test_a_job_trains_from_a_folder(stored):
    model = UniMatModel.model_validate(MODEL)
    assert isinstance(load_data(model, stored / "large"), ShardedUniMatData)
    (whole,) = run_job(model, stored / "small", stored / "one")
    half = UniMatModel.model_validate(MODEL | {"training": MODEL["training"] | {"steps": 2}})
    assert training_fingerprint(half, stored / "small") != training_fingerprint(half, stored / "large")
    assert len(whole.curve) == 2 and np.isfinite([entry["val_loss"] for entry in whole.curve]).all()


def test_a_folder_without_an_index_is_refused(stored, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="expected a folder of shards that `write_shards` wrote"):
        ShardedUniMatData(tmp_path / "empty")
    t = load_file(stored / "u.safetensors")
    with pytest.raises(ValueError, match="holds something"):
        write_shards([], t, stored / "small")
    wide = {name: t[name] for name in CRYSTALS["unimat"]} | {"place": t["place"] + 10000}
    with pytest.raises(ValueError, match="outside the table"):
        write_shards([wide], t, tmp_path / "wide")
