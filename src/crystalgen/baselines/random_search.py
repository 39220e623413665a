"""Random structure search: symmetric random crystals of a composition, pushed apart (A §2.3, app. 8; Pickard and Needs, 2011).

The baseline that any model of stable crystals has to beat. PyXtal draws the crystals; what follows is as for a model's.
"""

import numpy as np
import pandas as pd
from ase.data import covalent_radii
from joblib import Parallel, delayed
from pymatgen.core import Element
from scipy.optimize import minimize

from crystalgen.crystals import from_columns
from crystalgen.crystals.geometry import IMAGES
from crystalgen.represent.canonical import wrap

RANDOM = "random_search"  # this baseline's row
VOLUMES = (0.4, 1.2)  # of PyXtal's estimate, between which volumes are drawn
_ATTEMPTS = 2000  # of groups and sites for one crystal; about one in six is possible
_SOFT = 0.9  # of the sum of two covalent radii, within which spheres repel


def random_crystals(compositions: dict[str, np.ndarray], count: int, seed: int = 0, workers: int = 1) -> pd.DataFrame:
    """Draw crystals of each composition: a space group at random that its atoms can fill, a volume, sites; then soft spheres.

    Each crystal has a seed of its own, so that neither count nor workers change those that were drawn before.

    Args:
        compositions: name -> atomic numbers (n,).
        count: crystals a composition.
        seed: of all.
        workers: processes.

    Returns:
        crystals with composition, row (`random_search`) and asked_space_group; fewer than asked for where no group was found.
    """
    jobs = [(name, numbers, index) for name, numbers in compositions.items() for index in range(count)]
    draws = Parallel(n_jobs=workers)(delayed(_draw)(numbers, (seed, index, *sorted(map(int, numbers)))) for _, numbers, index in jobs)
    kept = [(job, draw) for job, draw in zip(jobs, draws, strict=True) if draw is not None]
    return from_columns(
        [draw[0] for _, draw in kept],
        [draw[1] for _, draw in kept],
        [draw[2] for _, draw in kept],
        RANDOM,
        [f"{RANDOM}-{name}-{index}" for (name, _, index), _ in kept],
        composition=[name for (name, _, _), _ in kept],
        row=RANDOM,
        asked_space_group=pd.array([draw[3] for _, draw in kept], dtype="Int16"),
    )


def push_apart(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray, max_steps: int = 100) -> np.ndarray:
    """Return the coordinates (n, 3) of least overlap of soft spheres in a fixed cell: (1 - d / s)^2 for each pair nearer than s.

    Args:
        lattice: (3, 3), Å.
        numbers: atomic numbers, (n,).
        coords: fractional, (n, 3).
        max_steps: of L-BFGS.
    """
    radii = covalent_radii[numbers]
    reach = _SOFT * (radii[:, None] + radii[None, :])[:, :, None]
    itself = np.eye(len(numbers), dtype=bool)[:, :, None] & (IMAGES == 0).all(axis=1)

    def overlap(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(-1, 3)
        gaps = x[:, None] - x[None, :]
        vectors = (gaps - np.round(gaps))[:, :, None] @ lattice + IMAGES @ lattice
        distances = np.where(itself, np.inf, np.linalg.norm(vectors, axis=-1))
        depth = np.clip(1 - distances / reach, 0, None)
        force = (-4 * depth / (reach * np.maximum(distances, 1e-9)))[..., None] * np.where(itself[..., None], 0.0, vectors)
        return float((depth**2).sum()), (force.sum(axis=(1, 2)) @ lattice.T).ravel()

    return minimize(overlap, coords.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": max_steps}).x.reshape(-1, 3)


def _draw(numbers: np.ndarray, seed: tuple[int, ...]) -> tuple | None:
    """Lattice, atomic numbers, coordinates and space group; None if none of the attempts is possible."""
    from pyxtal import pyxtal
    from pyxtal.msg import Comp_CompatibilityError, Symm_CompatibilityError, VolumeError

    rng = np.random.default_rng(seed)
    kinds, counts = np.unique(numbers, return_counts=True)
    symbols = [Element.from_Z(int(z)).symbol for z in kinds]
    for _ in range(_ATTEMPTS):
        group, factor, state = int(rng.integers(1, 231)), float(rng.uniform(*VOLUMES)), int(rng.integers(2**31))
        crystal = pyxtal()
        try:
            crystal.from_random(3, group, symbols, counts.tolist(), factor=factor, random_state=state, max_count=2)
        except (Comp_CompatibilityError, Symm_CompatibilityError, VolumeError, RuntimeError):  # the last: too close, `max_count` times
            continue
        structure = crystal.to_pymatgen()
        lattice, z = structure.lattice.matrix, np.array(structure.atomic_numbers)
        return lattice, z, wrap(push_apart(lattice, z, structure.frac_coords)), group
    return None
