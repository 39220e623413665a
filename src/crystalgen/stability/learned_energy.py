"""Formation energies learnt from a study's own crystals, in seconds: kernel ridge regression on how their atoms stand to each other.

A crystal is described by its pairs of neighbours, by elements and in shells of the distance (as in Faber et al., Int. J. Quantum Chem.
115, 1094, 2015), and its composition. Distances are in units of the cube root of the volume per atom, and the volume itself is not
told: what a model draws has the right shape more often than the right size.
"""

from itertools import product

import numpy as np
import pandas as pd
from scipy import linalg, sparse

from crystalgen.generative.data.format import ELEMENTS

SHELLS = np.linspace(0.6, 2.2, 9)  # centres of shells
WIDTH, CUTOFF = 0.15, 2.4  # of a shell, and where neighbours end
BESIDE_PAIRS = 0.3  # weight of the composition
GAMMA, RIDGE = 0.3, 1e-3  # of the kernel exp(-gamma d^2), where crystals have length 1 on average, and of the regression
MOST = 12_000  # training crystals that are used; the kernel has as many rows


class LearnedEnergies:
    """Fitted to the crystals of a table that have a formation energy, at most `MOST` of them."""

    def __init__(self, training: pd.DataFrame, seed: int = 0):
        training = training[training["formation_energy_per_atom"].notna()]
        if len(training) > MOST:
            training = training.sample(MOST, random_state=seed)
        numbers = np.unique(np.concatenate(training["atomic_numbers"].tolist()))
        self.place = np.full(ELEMENTS, len(numbers))  # what training lacks is one more element
        self.place[numbers] = np.arange(len(numbers))
        self.elements = len(numbers) + 1
        pairs, shares = self._describe(training)
        self.length = np.sqrt(pairs.multiply(pairs).sum(axis=1).mean())
        self.known = self._weighted(pairs, shares)
        self.scale = self.known.multiply(self.known).sum(axis=1).mean()
        energies = training["formation_energy_per_atom"].to_numpy()
        self.mean = energies.mean()
        kernel = self._kernel(self.known)
        kernel[np.diag_indices(len(kernel))] += RIDGE
        self.weights = linalg.cho_solve(linalg.cho_factor(kernel, overwrite_a=True), (energies - self.mean).astype(np.float32))

    def predict(self, table: pd.DataFrame, batch: int = 2000) -> np.ndarray:
        """Return formation energies of crystals, eV/atom, (n,)."""
        parts = [self._describe(table.iloc[start : start + batch]) for start in range(0, len(table), batch)]
        return np.concatenate([np.zeros(0), *(self._kernel(self._weighted(*part)) @ self.weights + self.mean for part in parts)])

    def _kernel(self, crystals: sparse.csr_matrix) -> np.ndarray:
        """Likeness of crystals to the known ones, (n, known)."""
        lengths = [np.asarray(part.multiply(part).sum(axis=1), np.float32).ravel() for part in (crystals, self.known)]
        distance = lengths[0][:, None] + lengths[1] - 2 * (crystals @ self.known.T).toarray()
        return np.exp(-GAMMA / self.scale * np.maximum(distance, 0)).astype(np.float32)

    def _weighted(self, pairs: sparse.csr_matrix, shares: np.ndarray) -> sparse.csr_matrix:
        return sparse.hstack([pairs, sparse.csr_matrix(shares * BESIDE_PAIRS * self.length)], format="csr", dtype=np.float32)

    def _describe(self, table: pd.DataFrame) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Pairs of neighbours (n, elements^2 * shells), and shares of elements (n, elements)."""
        rows, shares = [], np.zeros((len(table), self.elements))
        columns = zip(table["lattice"], table["atomic_numbers"], table["frac_coords"], strict=True)
        for i, (lattice, numbers, coords) in enumerate(columns):
            kinds = self.place[numbers]
            rows.append(sparse.csr_matrix(self._pairs(lattice, kinds, coords)))
            shares[i] = np.bincount(kinds, minlength=self.elements) / len(kinds)
        return sparse.vstack(rows, format="csr"), shares

    def _pairs(self, lattice: np.ndarray, kinds: np.ndarray, coords: np.ndarray) -> np.ndarray:
        """Pairs of one crystal, per atom, (1, elements^2 * shells)."""
        lattice = lattice / (abs(np.linalg.det(lattice)) / len(kinds)) ** (1 / 3)
        reach = np.ceil(CUTOFF * np.linalg.norm(np.linalg.inv(lattice), axis=0) + 0.5).astype(int)
        images = np.array(list(product(*(range(-most, most + 1) for most in reach))))
        difference = coords[None, :] - coords[:, None]
        difference = difference - difference.round()
        distances = np.linalg.norm((difference[:, :, None] + images) @ lattice, axis=-1)
        atom, other, image = np.nonzero((distances > 1e-3) & (distances < CUTOFF))
        near = distances[atom, other, image]
        shells = np.exp(-(((near[:, None] - SHELLS) / WIDTH) ** 2) / 2) * ((1 + np.cos(np.pi * near / CUTOFF)) / 2)[:, None]
        one, two = np.sort([kinds[atom], kinds[other]], axis=0)
        found = np.zeros((self.elements**2, len(SHELLS)), np.float32)
        np.add.at(found, one * self.elements + two, shells / len(kinds))
        return found.reshape(1, -1)
