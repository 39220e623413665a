"""What a network sees of a periodic crystal: for each two sites, how many images lie how far apart, whatever the cell's setting.

Distances are in units of the edge of a site's share of the volume, (volume / sites)^(1/3), so that a template's scale does not matter.
"""

import math

import numpy as np
from numba import njit

CUTOFF = 2.2  # about 45 neighbours
RADIAL = 16  # Gaussians between the two ends
NEAREST = 0.35  # mean of the first Gaussian


@njit(cache=True)
def pair_features(lattice: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum over images Gaussians of distance, (n, n, RADIAL), and with them the directions from site i to j, (n, n, RADIAL, 3), and their
    outer products, (n, n, RADIAL, 3, 3).

    A site's own images count as its neighbours. The sums turn with the crystal and do not depend on the choice of the cell.

    Args:
        lattice: (3, 3), Å. coords: fractional, (n, 3).
    """
    n = len(coords)
    cell = lattice / (abs(np.linalg.det(lattice)) / n) ** (1 / 3)
    inverse = np.linalg.inv(cell)
    reach = np.sqrt((inverse**2).sum(axis=0)) * CUTOFF
    step = (CUTOFF - NEAREST) / (RADIAL - 1)
    sums, directions, tensors = np.zeros((n, n, RADIAL)), np.zeros((n, n, RADIAL, 3)), np.zeros((n, n, RADIAL, 3, 3))
    apart, low, high = np.empty(3), np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    for i in range(n):
        for j in range(n):
            for axis in range(3):
                apart[axis] = coords[j, axis] - coords[i, axis]
                low[axis], high[axis] = math.ceil(-reach[axis] - apart[axis]), math.floor(reach[axis] - apart[axis])
            for a in range(low[0], high[0] + 1):
                for b in range(low[1], high[1] + 1):
                    for c in range(low[2], high[2] + 1):
                        x = (apart[0] + a) * cell[0, 0] + (apart[1] + b) * cell[1, 0] + (apart[2] + c) * cell[2, 0]
                        y = (apart[0] + a) * cell[0, 1] + (apart[1] + b) * cell[1, 1] + (apart[2] + c) * cell[2, 1]
                        z = (apart[0] + a) * cell[0, 2] + (apart[1] + b) * cell[1, 2] + (apart[2] + c) * cell[2, 2]
                        distance = math.sqrt(x * x + y * y + z * z)
                        if distance < 1e-3 or distance >= CUTOFF:
                            continue
                        unit = (x / distance, y / distance, z / distance)
                        smooth = 0.5 * (math.cos(math.pi * distance / CUTOFF) + 1)
                        nearest = int(round((distance - NEAREST) / step))
                        for k in range(max(0, nearest - 3), min(RADIAL, nearest + 4)):
                            value = smooth * math.exp(-0.5 * ((distance - NEAREST) / step - k) ** 2)
                            sums[i, j, k] += value
                            for one in range(3):
                                directions[i, j, k, one] += value * unit[one]
                                for other in range(3):
                                    tensors[i, j, k, one, other] += value * unit[one] * unit[other]
    return sums, directions, tensors


@njit(cache=True)
def batch_features(lattices: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `pair_features` of crystals with equally many sites in single precision; lattices (B, 3, 3), coords (B, n, 3)."""
    count, n = coords.shape[:2]
    sums = np.empty((count, n, n, RADIAL), np.float32)
    directions = np.empty((count, n, n, RADIAL, 3), np.float32)
    tensors = np.empty((count, n, n, RADIAL, 3, 3), np.float32)
    for place in range(count):
        sums[place], directions[place], tensors[place] = pair_features(lattices[place], coords[place])
    return sums, directions, tensors
