"""The trained networks of this room as a folder: scorer and corrector, their settings and where they come from."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.config import Corrector as Settings
from crystalgen.corrector.choosing import make_scorer, train_scorers
from crystalgen.corrector.correcting import make_corrector, train_corrector
from crystalgen.corrector.net import Corrector, Scorer
from crystalgen.corrector.sites import Sites
from crystalgen.corrector.train import Run
from crystalgen.utils.files import atomic, write_json
from crystalgen.utils.strict import check_strict, read_yaml

SETTINGS, CORRECTOR = "settings.json", "corrector.safetensors"


@dataclass(frozen=True)
class Networks:
    """Scorers, whose chances are averaged, and a corrector; basis: digest of the training crystals and settings that they come from."""

    settings: Settings
    scorers: list[Scorer]
    corrector: Corrector
    basis: str

    def save(self, folder: Path) -> None:
        """Write the folder."""
        for net, name in zip((*self.scorers, self.corrector), (*_scorer_files(self.settings), CORRECTOR), strict=True):
            with atomic(folder / name) as partial:
                save_file({key: value.contiguous() for key, value in net.state_dict().items()}, partial)
        write_json({"settings": self.settings.model_dump(mode="json"), "basis": self.basis}, folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> "Networks":
        """Read the folder.

        Raises:
            FileNotFoundError: a file is missing.
        """

        def read(name: str) -> Path:
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name}: no trained network; run the stage `corrector`, or see `crystalgen use-shipped --help`"
                )
            return folder / name

        content = read_yaml(read(SETTINGS))
        settings = check_strict(Settings, content["settings"], str(folder / SETTINGS))
        states = [load_file(read(name)) for name in (*_scorer_files(settings), CORRECTOR)]
        nets = [*(make_scorer(state["scale"], settings) for state in states[:-1]), make_corrector(settings)]
        for net, state in zip(nets, states, strict=True):
            net.load_state_dict(state)
            net.eval()
        return cls(settings, nets[:-1], nets[-1], content["basis"])


def _scorer_files(settings: Settings) -> list[str]:
    return [f"scorer-{number}.safetensors" for number in range(settings.scorers)]


def basis_of(templates: Templates, settings: Settings) -> str:
    """Return a digest of all that decides the networks: training crystals and settings."""
    digest = hashlib.sha256(json.dumps(settings.model_dump(mode="json", exclude={"workers", "generator"}), sort_keys=True).encode())
    for name, cell in zip(templates.table["id"], templates.cells, strict=True):
        digest.update(name.encode())
        if not isinstance(cell, str):
            digest.update(cell.numbers.astype("<i2").tobytes() + cell.coords.round(6).astype("<f4").tobytes())
    return digest.hexdigest()


def networks_of(templates: Templates, sites: Sites, distances: np.ndarray, settings: Settings,
                folder: Path) -> tuple[Networks, dict[str, Run]]:  # fmt: skip
    """Return the folder's networks if they come from these training crystals and settings, else trained ones, which are saved there.

    A run that was cut off goes on from `folder`/checkpoints.

    Returns:
        the networks; and the runs by name, none where they were there.
    """
    basis, checkpoints = basis_of(templates, settings), folder / "checkpoints"
    if (folder / SETTINGS).is_file() and (found := Networks.load(folder)).basis == basis:
        return found, {}
    runs = {"corrector": train_corrector(templates, sites, distances, settings, checkpoints, basis)}
    runs |= train_scorers(templates, sites, distances, settings, checkpoints, basis)
    scorers = [run.net for name, run in runs.items() if name != "corrector"]
    networks = Networks(settings, scorers, runs["corrector"].net, basis)
    networks.save(folder)
    shutil.rmtree(checkpoints)
    return networks, runs
