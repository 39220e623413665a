"""Take noise out of crystals: a diffusion of sites and cells in real space, for the last ångström that a generator leaves.

Noise on sites is normal, of a spread in units of (volume / sites)^(1/3); the cell is strained along. On a torus the network's mean answer
is the score of the wrapped normal density (Jiao et al. 2023, arXiv 2309.04475, use that score), so that nothing is wrapped in training.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from crystalgen.config import Denoiser as Settings
from crystalgen.corrector.denoiser import Denoiser
from crystalgen.corrector.neighbours import batch_features
from crystalgen.corrector.train import Run, equal_batches, train
from crystalgen.utils.files import atomic, write_json
from crystalgen.utils.strict import check_strict, read_yaml

SETTINGS, WEIGHTS = "denoiser.json", "denoiser.safetensors"
STRAIN = 0.3  # spread of the noise on the logarithm of the cell's strain, as a share of the noise on sites
_STRAIN_WEIGHT = 0.3  # of its loss
_BATCH = 64  # crystals that are denoised together


@dataclass(frozen=True)
class TrainedDenoiser:
    """A trained network with its settings, kept as a folder."""

    settings: Settings
    net: Denoiser

    def save(self, folder: Path) -> None:
        """Write the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / WEIGHTS) as partial:
            save_file({name: value.contiguous() for name, value in self.net.state_dict().items()}, partial)
        write_json(self.settings.model_dump(mode="json"), folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> "TrainedDenoiser":
        """Read the folder.

        Raises:
            FileNotFoundError: a file is missing.
        """
        for name in (SETTINGS, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name}: no such file; expected a folder of a trained denoiser")
        settings = check_strict(Settings, read_yaml(folder / SETTINGS), str(folder / SETTINGS))
        net = Denoiser(settings)
        net.load_state_dict(load_file(folder / WEIGHTS))
        return cls(settings, net.eval())


def train_denoiser(crystals: pd.DataFrame, settings: Settings, checkpoint: Path, fingerprint: str) -> Run:
    """Train a denoiser on crystals; checkpoint and fingerprint as in `train.train`."""
    cells, counts = cells_of(crystals), crystals["atomic_numbers"].map(len).to_numpy()

    def loss(net: Denoiser, rows: np.ndarray) -> Tensor:
        lattices, coords, numbers = stacked(cells, rows)
        share = torch.rand(len(rows), dtype=torch.float64).numpy()
        level = settings.least * (settings.most / settings.least) ** share
        noise = draw_noise(len(rows), coords.shape[1])
        shift, strain = answer(net, *moved(lattices, coords, level, *noise), numbers, level)
        wanted, strained = (torch.from_numpy(-part).to(shift.dtype) for part in noise)
        return ((shift - wanted) ** 2).mean() + _STRAIN_WEIGHT * ((strain - strained) ** 2).mean()

    def batches(rng: np.random.Generator) -> list[np.ndarray]:
        return equal_batches(counts, settings.training.batch_size, rng)

    return train(lambda: Denoiser(settings), batches, loss, settings.training, checkpoint, fingerprint)


@torch.inference_mode()
def denoised(trained: TrainedDenoiser, crystals: pd.DataFrame, noise: float, steps: int = 20, seed: int = 0) -> pd.DataFrame:
    """Put noise on crystals, and take it out again: they go to where the training crystals have such atoms.

    Steps are ancestral (Song et al. 2021, arXiv 2011.13456, the variance-exploding case), their noise falls geometrically.

    Args:
        crystals: of which numbers and shapes of cells are kept by and large; columns such as space_group stay as they are.
        noise: where it starts, in units of (volume / sites)^(1/3); the more, the more is made anew. What training saw bounds it.
        steps: of the network. seed: of everything random.

    Raises:
        ValueError: the noise is not between the least and the most that training saw, or steps are none.
    """
    least, most = trained.settings.least, trained.settings.most
    if not least <= noise <= most:
        raise ValueError(f"noise {noise:g}; expected a number between {least:g} and {most:g}, what the denoiser was trained on")
    if steps < 1:
        raise ValueError(f"steps {steps}; expected at least 1")
    generator = torch.Generator().manual_seed(seed)
    lattices, coords = [None] * len(crystals), [None] * len(crystals)
    for rows, *batch in batches_of(crystals, seed):
        for row, lattice, sites in zip(rows, *_without_noise(trained.net, *batch, noise, steps, generator), strict=True):
            lattices[row], coords[row] = lattice, sites
    return crystals.assign(lattice=lattices, frac_coords=coords)


def _without_noise(net: Denoiser, lattices: np.ndarray, coords: np.ndarray, numbers: Tensor, noise: float,
                   steps: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Lattices (B, 3, 3) and fractional coordinates (B, n, 3) after noise was added and taken out in steps."""
    count, sites = coords.shape[:2]
    levels = [*np.geomspace(noise, net.least, steps), 0.0]
    lattices, coords = moved(lattices, coords, np.full(count, noise), *draw_noise(count, sites, generator))
    for level, after in zip(levels, levels[1:], strict=False):
        shift, strain = (part.double().numpy() for part in answer(net, lattices, coords, numbers, np.full(count, level)))
        kept = (after / level) ** 2  # of the variance
        spread = after * math.sqrt(1 - kept) / level
        fresh = draw_noise(count, sites, generator)
        shift, strain = ((1 - kept) * part + spread * new for part, new in zip((shift, strain), fresh, strict=True))
        lattices, coords = moved(lattices, coords, np.full(count, level), shift, strain)
    return lattices, coords % 1.0


def draw_noise(count: int, sites: int, generator: torch.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw shifts (count, sites, 3), of mean zero, and symmetric strains (count, 3, 3), of spread 1; without a generator from torch's."""
    shift, strain = (torch.randn(count, rows, 3, dtype=torch.float64, generator=generator).numpy() for rows in (sites, 3))
    return shift - shift.mean(axis=1, keepdims=True), (strain + strain.swapaxes(1, 2)) / 2


def moved(lattices: np.ndarray, coords: np.ndarray, level: np.ndarray, shift: np.ndarray,
          strain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return lattices (B, 3, 3) strained and fractional coordinates (B, n, 3) shifted by so many times the level, (B,)."""
    values, axes = np.linalg.eigh(STRAIN * level[:, None, None] * strain)
    strained = lattices @ ((axes * np.exp(values)[:, None]) @ axes.swapaxes(1, 2))
    edge = _volumes(strained, coords) ** (1 / 3)
    return strained, coords + (level * edge)[:, None, None] * shift @ np.linalg.inv(strained)


def answer(net: Denoiser, lattices: np.ndarray, coords: np.ndarray, numbers: Tensor, level: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return what the network says of crystals with equally many sites; see `Denoiser.forward`."""
    facts = (torch.from_numpy(part.astype(np.float32)) for part in (level, _volumes(lattices, coords)))
    return net(numbers, *facts, *(torch.from_numpy(part) for part in batch_features(lattices, coords)))


def _volumes(lattices: np.ndarray, coords: np.ndarray) -> np.ndarray:
    """Volume of a site, Å^3, (B,)."""
    return np.abs(np.linalg.det(lattices)) / coords.shape[1]


def batches_of(crystals: pd.DataFrame, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]]:
    """Yield crystals with equally many sites together: their places in the table, and what `stacked` gives of them."""
    cells, counts = cells_of(crystals), crystals["atomic_numbers"].map(len).to_numpy()
    for rows in equal_batches(counts, _BATCH, np.random.default_rng(seed)):
        yield rows, *stacked(cells, rows)


def cells_of(crystals: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return lattices, fractional coordinates and atomic numbers of crystals, as `stacked` takes them."""
    columns = (crystals[name] for name in ("lattice", "frac_coords", "atomic_numbers"))
    return [(np.array(a, dtype=float), np.array(x, dtype=float), np.array(z, dtype=np.int64)) for a, x, z in zip(*columns, strict=True)]


def stacked(cells: list[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return lattices (B, 3, 3), fractional coordinates (B, n, 3) and atomic numbers (B, n) of crystals with equally many sites."""
    lattices, coords, numbers = (np.stack([cells[row][part] for row in rows]) for part in range(3))
    return lattices, coords, torch.from_numpy(numbers)
