"""A training job: a file of tensors and a model's settings in, one trained network per seed out. Torch only."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from joblib import Parallel, delayed
from safetensors.torch import load_file
from torch import nn

from crystalgen.generative.checkpoint import Model
from crystalgen.generative.data.matrix import ORBITS, MatrixData
from crystalgen.generative.data.pairs import PairData
from crystalgen.generative.data.shards import INDEX, ShardedUniMatData
from crystalgen.generative.data.unimat import UniMatData
from crystalgen.generative.settings import MatrixModel, UniMatModel
from crystalgen.generative.train import Trained, train
from crystalgen.utils.files import file_hash


def load_data(model: MatrixModel | UniMatModel, path: Path) -> MatrixData | UniMatData:
    """Return the data set that a model trains on, from its representation's file of tensors, or UniMat's folder of shards."""
    if isinstance(model, UniMatModel):
        return ShardedUniMatData(path, model.input) if path.is_dir() else UniMatData(path, model.input)
    described = {"augment": model.augment, "trim": model.net.name == "rows"}
    data = PairData(path, model.training.pairs_per_group, **described) if model.task == "modification" else MatrixData(path, **described)
    if getattr(model.objective, "orbits", False) and not {*ORBITS} <= {*data.tensors}:
        raise ValueError(f"{path}: lacks {' and '.join(ORBITS)}, which objective.orbits needs; expected representations.orbits: true")
    return data


def load_task(task: str, path: Path) -> MatrixData | UniMatData:
    """Return the data of a task, to read what is validated or tested; they are not for training.

    path: the matrix file for `generation` and `modification`, UniMat's for `composition`.
    """
    if task == "composition":
        return UniMatData(path)
    return PairData(path, per_group=1) if task == "modification" else MatrixData(path)


def run_job(model: MatrixModel | UniMatModel, file: Path, checkpoints: Path, start: Path | None = None) -> list[Trained]:
    """Train every seed of `model.training.seeds`, `model.training.processes` at a time.

    start: a trained model's folder; each seed goes on from its weights, with a learning rate and averages of its own. A UniMat model
        may be told conditions that the trained one was not: their embeddings begin anew.

    Each seed keeps its state in `checkpoints`/<seed>.pt, the finished ones too, so that a killed job loses no
    seed; remove the folder once the result is saved. Errors are those of `training.train`.
    """
    settings = model.training
    weights = {seed: start / "weights" / f"{seed}.safetensors" if start else None for seed in settings.seeds}
    fingerprint = training_fingerprint(model, file) + "".join(file_hash(path) for path in weights.values() if path)
    jobs = (delayed(_train_seed)(model, file, seed, checkpoints / f"{seed}.pt", fingerprint, weights[seed]) for seed in settings.seeds)
    shared = int(os.environ.get("WORLD_SIZE", 1)) > 1  # by `accelerate launch`, whose processes train one seed after the other together
    return Parallel(n_jobs=1 if shared else min(settings.processes, len(settings.seeds)))(jobs)


def training_fingerprint(model: MatrixModel | UniMatModel, file: Path) -> str:
    """Return a digest of the data and all settings that decide a run's weights: a checkpoint of another run is not taken up."""
    decisive = model.model_dump(mode="json", exclude={"label": True, "sampling": True, "training": {"seeds", "processes"}})
    return hashlib.sha256((json.dumps(decisive, sort_keys=True) + data_hash(file)).encode()).hexdigest()


def data_hash(file: Path) -> str:
    """Return the hash of a file of tensors, or of a folder's index, which has those of its shards."""
    return file_hash(file / INDEX if file.is_dir() else file)


def trained_model(model: MatrixModel | UniMatModel, file: Path, trained: list[Trained]) -> Model:
    """Return what a training job has trained, ready to sample."""
    return Model(model, load_data(model, file).codec, {run.seed: run.net for run in trained})


def save_job(model: MatrixModel | UniMatModel, file: Path, trained: list[Trained], folder: Path, checkpoints: Path) -> None:
    """Write the trained model, see `checkpoint`, and remove the states of its training."""
    trained_model(model, file, trained).save(folder)
    shutil.rmtree(checkpoints, ignore_errors=True)


def training_facts(model: MatrixModel | UniMatModel, trained: list[Trained]) -> dict:
    """Return what a result card says of a training job, all its seeds."""
    settings = model.training
    return {
        "parameters": sum(p.numel() for p in trained[0].net.parameters()),
        "steps": settings.steps,
        "batch_size": settings.batch_size,
        "seeds": [run.seed for run in trained],
        "seconds": [round(run.seconds, 1) for run in trained],
        "threads": settings.threads,
        "processes": settings.processes,
        "resumed": any(run.resumed for run in trained),
        "val_loss": [round(run.curve[-1]["val_loss"], 6) for run in trained],
    }


def _train_seed(model: MatrixModel | UniMatModel, file: Path, seed: int, checkpoint: Path, fingerprint: str,
                weights: Path | None) -> Trained:  # fmt: skip
    data = load_data(model, file)

    def make_net():
        net = model.build_net(data.codec)
        if weights is not None:
            _take_up(net, weights)
        return net

    return train(make_net, model.objective.build(), data, model.training, seed, checkpoint, fingerprint)


def _take_up(net: nn.Module, weights: Path) -> None:
    """Load the weights of a trained network, which may lack embeddings of further conditions.

    Raises:
        ValueError: the network is another.
    """
    try:
        missing, unexpected = net.load_state_dict({name: value.float() for name, value in load_file(weights).items()}, strict=False)
    except RuntimeError as error:  # of other shapes
        raise ValueError(f"{weights}: weights of another network: {' '.join(str(error).split())[:300]}") from None
    if strange := [*unexpected, *(name for name in missing if not name.startswith("auxiliary."))]:
        raise ValueError(f"{weights}: weights of another network: {', '.join(strange[:5])}; only `input.conditions` may differ")
