"""The queue of trainings for a GPU, every job of it at toy size on the CPU: it stops, goes on, and leaves what is to come back."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from crystalgen.generative.checkpoint import Model
from crystalgen.represent.tensors import save_tensors, unimat_tensors

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def queue():
    spec = importlib.util.spec_from_file_location("gpu_queue", ROOT / "benchmarks" / "gpu_queue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(crystals, tmp_path, queue):
    """A few crystals for each study."""
    splits = np.resize(np.array(["train", "train", "val", "train", "test"], dtype=object), len(crystals))
    for study in {job.study for job in queue.JOBS.values()}:
        save_tensors(unimat_tensors(crystals.assign(split=splits)), queue.tensors(tmp_path / "data", study))
    return tmp_path


def test_every_job_is_of_a_study_and_fits_into_ten_minutes(queue):
    for job in queue.JOBS.values():
        settings = queue.settings_of(job, toy=False)
        assert settings.training.steps == job.steps and settings.training.precision == "bf16"
        assert settings.training.checkpoint_every * 10 <= job.steps and job.minutes <= 9


def test_a_job_runs_samples_and_gives_back(queue, data):
    arguments = ["--toy", "--home", str(data / "home"), "--data", str(data / "data"), "--out", str(data / "out")]
    assert queue.main(["run", "mp_20_composition", *arguments]) == 0
    home, out = data / "home" / "mp_20_composition", data / "out" / "mp_20_composition"
    assert queue.finished(home) and queue.progress(home)[0] == 4
    assert queue.main(["join", str(out)]) == 0
    assert list(Model.load(out).nets) == [42]
    assert max(file.stat().st_size for file in out.iterdir() if file.is_file()) <= 16 * 2**20
    assert len([file for file in out.iterdir() if file.is_file()]) <= 8
    assert queue.main(["report", *arguments]) == 0
    row = json.loads((data / "out" / "report.json").read_text())["jobs"]["mp_20_composition"]
    assert row["steps"] == 4 and row["samples_per_s"] > 0 and 0 < row["mfu"] < 1


def test_the_queue_goes_on_after_its_time_is_up(queue, data, monkeypatch):
    arguments = ["--toy", "--home", str(data / "home"), "--data", str(data / "data")]
    monkeypatch.setattr(queue, "JOBS", {name: queue.JOBS[name] for name in ("mp_20_joint", "carbon_24_joint")})
    assert queue.main(["next", "--minutes", "0.01", *arguments]) == 0  # too short to load torch
    assert not queue.finished(data / "home" / "mp_20_joint") and not (data / "home" / "carbon_24_joint").exists()
    assert queue.main(["next", *arguments]) == 0
    assert all(queue.finished(data / "home" / name) for name in queue.JOBS)
