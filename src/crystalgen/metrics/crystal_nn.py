"""CrystalNN's fingerprint of every site ("ops" of matminer), with its arithmetic compiled.

Zimmermann and Jain, RSC Adv. 10, 6063 (2020); Pan et al., Inorg. Chem. 60, 1590 (2021). Neighbours are those of pymatgen's CrystalNN with
its defaults: faces of the Voronoi polyhedron weighed by solid angle, electronegativity and distance. Each number of neighbours has a
probability, and each motif of that number an order parameter. The tessellation is SciPy's, of the points that pymatgen would give it.
"""

import functools
import math
import warnings

import numpy as np
from numba import njit
from pymatgen.core import Element, Structure
from scipy.spatial import Voronoi

from crystalgen.crystals.schema import MAX_ATOMIC_NUMBER
from crystalgen.metrics.motifs import KINDS, PARAMETERS, motif_values

_CUTOFF = 7.0  # Å, doubled until the polyhedron is closed
_NEAR, _FAR = 0.5, 1.0  # Å beyond the sum of radii, between which a neighbour's weight falls to 0
_ELECTRONEGATIVITY = 3.0  # weight of its difference, in units of the largest, 3.3
_ROOM = 0.01  # Å


def site_fingerprint(structure: Structure, site: int) -> np.ndarray:
    """Return matminer's `CrystalNNFingerprint.from_preset("ops")` of one site, (61,).

    Raises:
        RuntimeError: the Voronoi polyhedron stays open.
    """
    numbers, center = np.array(structure.atomic_numbers), structure[site].coords
    cutoff = _CUTOFF
    widest = max(np.linalg.norm(structure.lattice.get_cartesian_coords(c)) for c in ([1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1])) + _ROOM
    while True:
        try:
            points, kinds = _points(structure, center, cutoff)
            found = Voronoi(points)
            faces = np.flatnonzero((found.ridge_points == 0).any(axis=1))
            corners = [found.ridge_vertices[face] for face in faces]
            if any(-1 in face for face in corners):
                raise RuntimeError("infinite vertex in the Voronoi construction")
            break
        except RuntimeError as error:  # Qhull's errors are such, too
            if cutoff >= widest:
                raise RuntimeError(f"Voronoi polyhedron of site {site}: {' '.join(str(error).split())[:80]}") from None
            cutoff = min(cutoff * 2, widest + 0.001)
    others = found.ridge_points[faces].sum(axis=1)  # the central point is 0
    ends = np.cumsum([len(face) for face in corners])
    radii, electronegativities = _elements()
    vectors, weights = _weigh(
        points, others, found.vertices, np.concatenate(corners), ends, radii[numbers[site]] + radii[numbers[kinds[others]]],
        electronegativities[numbers[site]], electronegativities[numbers[kinds[others]]], center,
    )  # fmt: skip
    return _fingerprint(vectors, weights, *_layout())


@functools.cache
def prepare() -> None:
    """Compile and read what every fingerprint needs, before any crystal's time counts: a first run may take half a minute for it."""
    tetragonal = Structure(np.diag([3.0, 3.2, 3.1]), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    site_fingerprint(tetragonal, 0)


def _points(structure: Structure, center: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, 3) and sites (n,) of the atoms in a sphere, the nearest first."""
    frac_coords, distances, sites, _ = structure.lattice.get_points_in_sphere(structure.frac_coords, center, cutoff, zip_results=False)
    order = np.argsort(distances, kind="stable")
    return structure.lattice.get_cartesian_coords(frac_coords[order]), sites[order]


@functools.cache
def _elements() -> tuple[np.ndarray, np.ndarray]:
    """Radius (Å) and Pauling electronegativity (NaN where there is none) by atomic number."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        radii = [CovalentRadius.radius.get(element.symbol) or element.atomic_radius for element in elements]
        return np.array([np.nan, *radii], dtype=float), np.array([np.nan, *(element.X for element in elements)], dtype=float)


@functools.cache
def _layout() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each number of the fingerprint: how many neighbours it is of, its kind (-1 of a probability), its parameters."""
    from matminer.featurizers.site.fingerprint import CrystalNNFingerprint

    rows = []
    for neighbours, motifs in sorted(CrystalNNFingerprint.from_preset("ops").ops.items()):
        for motif in motifs:
            if motif == "wt":
                rows.append((neighbours, -1, [0.0] * len(PARAMETERS)))
                continue
            (name,), (given,) = motif._types, motif._params
            values = dict(given or {})
            if values.pop("exp_cos_AA", 2) != 2 or set(values) - set(PARAMETERS):
                raise ValueError(f"order parameter {name}: parameters {given} are other than those of matminer 0.10.1")
            parameters = [float(values.get(key, 0.0)) for key in PARAMETERS]
            if name in ("q2", "q4", "q6"):
                parameters[-1] = float(name[1])
            rows.append((neighbours, KINDS[name], parameters))
    neighbours, kinds, parameters = zip(*rows, strict=True)
    return np.array(neighbours), np.array(kinds), np.array(parameters)


@njit(cache=True)
def _weigh(points, others, vertices, corners, ends, diameters, own, theirs, center):
    """Vectors to the neighbours (k, 3) and their weights (k,), rounded to three digits, the heaviest first."""
    n = len(others)
    angles, areas = np.empty(n), np.empty(n)
    start = 0
    for face in range(n):
        shape = corners[start : ends[face]]
        start = ends[face]
        angles[face], volume = _face(points[0], vertices, shape)
        gap = points[0] - points[others[face]]
        areas[face] = 3 * volume / (math.sqrt((gap**2).sum()) / 2)
    kept = np.flatnonzero(angles > 0)
    weights = angles[kept] / angles.max() * (angles[kept] / areas[kept])
    for i, face in enumerate(kept):
        if not (math.isnan(own) or math.isnan(theirs[face])):
            weights[i] *= 1 + _ELECTRONEGATIVITY * math.sqrt(abs(own - theirs[face]) / 3.3)
    order = np.argsort(-weights, kind="mergesort")
    kept, weights = kept[order], weights[order]
    if weights[0] == 0:
        return np.zeros((0, 3)), np.zeros(0)
    weights = weights / weights[0]
    vectors = np.empty((len(kept), 3))
    for i, face in enumerate(kept):
        vectors[i] = points[others[face]] - center
        distance = math.sqrt((vectors[i] ** 2).sum())
        low, high = diameters[face] + _NEAR, diameters[face] + _FAR
        if distance > low:
            weights[i] *= (math.cos((distance - low) / (high - low) * math.pi) + 1) * 0.5 if distance < high else 0.0
    order = np.argsort(-weights, kind="mergesort")
    vectors, weights = vectors[order], np.rint(weights[order] * 1000) / 1000
    count = (weights > 0).sum()
    return vectors[:count], weights[:count]


@njit(cache=True)
def _face(center, vertices, shape):
    """Solid angle of a face seen from the centre, and the volume between the two."""
    corner = vertices[shape] - center
    lengths = np.sqrt((corner**2).sum(axis=1))
    angle, volume = 0.0, 0.0
    for i in range(1, len(shape) - 1):
        j = i + 1
        cross = np.cross(corner[i], corner[j])
        triple = abs((corner[0] * cross).sum())
        below = (
            lengths[0] * lengths[i] * lengths[j]
            + lengths[j] * (corner[0] * corner[i]).sum()
            + lengths[i] * (corner[0] * corner[j]).sum()
            + lengths[0] * (corner[i] * corner[j]).sum()
        )
        part = (0.5 * math.pi if triple > 0 else -0.5 * math.pi) if below == 0 else math.atan(triple / below)
        angle += (part if part > 0 else part + math.pi) * 2
        volume += triple / 6
    return angle, volume


@njit(cache=True)
def _fingerprint(vectors, weights, neighbours, kinds, parameters):
    values = np.zeros(len(neighbours))
    for count in range(1, len(weights) + 1):
        following = weights[count] if count < len(weights) else 0.0
        if following == weights[count - 1]:
            continue
        probability = _quarter_disc(weights[count - 1]) - _quarter_disc(following)
        chosen = np.flatnonzero(neighbours == count)
        if not len(chosen):
            continue
        values[chosen[0]] = probability
        if len(chosen) > 1:
            values[chosen[1:]] = probability * motif_values(vectors[:count], kinds[chosen[1:]], parameters[chosen[1:]])
    return values


@njit(cache=True)
def _quarter_disc(x):
    """Share of a quarter of the unit disc left of x."""
    if x == 1:
        return 1.0
    height = math.sqrt(1 - x * x)
    return (x * height + math.atan(x / height)) / (0.5 * math.pi)
