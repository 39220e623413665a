"""Result cards: what ran, on what, for how long, from which code and data."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from crystalgen.generative.jobs import training_facts
from crystalgen.generative.settings import Model
from crystalgen.generative.train import Trained
from crystalgen.utils import paths
from crystalgen.utils.files import file_hash

PACKAGES = ("torch", "numpy", "pymatgen", "accelerate", "spglib")


def result_card(model: str, study: str, data: Path, **facts) -> dict:
    """Facts of a run with the hardware, versions, git commit and data hash they hold for."""
    return {
        "model": model,
        "study": study,
        **facts,
        "hardware": _hardware(),
        "git_commit": _git_commit(),
        "data_sha256": file_hash(data),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def training_card(name: str, study: str, model: Model, data: Path, trained: list[Trained]) -> dict:
    """The result card of a training job, all its seeds."""
    return result_card(name, study, data, **training_facts(model, trained))


def _hardware() -> dict:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"machine": platform.machine(), "cores": os.cpu_count(), "gpu": gpu}


def _git_commit() -> str:
    """The commit, `-dirty` where tracked files differ from it that the pipeline does not write itself."""

    def git(*command: str) -> str:
        return subprocess.run(["git", "-C", str(paths.ROOT), *command], capture_output=True, text=True).stdout.strip()

    commit = git("describe", "--always", "--abbrev=12")
    written = [f":(exclude){name}" for name in ("*dvc.lock", "*dvc.yaml", "params.yaml", "reports", "figures", "data/library/card.md")]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    return commit + ("-dirty" if changed else "") if commit else "not a git checkout"
