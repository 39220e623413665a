"""Order parameters of local motifs, compiled: pymatgen's `LocalStructOrderParams` of those that CrystalNN's fingerprint asks for.

Zimmermann and Jain, RSC Adv. 10, 6063 (2020). Each neighbour in turn is the north pole, each other the prime meridian; a motif
rewards the others at the polar and azimuthal angles that it has.
"""

import math

import numpy as np
from numba import njit

BOND, BENT, PLANE, PYRAMID, BIPYRAMID, SEE_SAW, HEXAGON, PENTAGON, BCC, CUBOCTAHEDRON, STEINHARDT = range(11)
KINDS = {
    "sgl_bd": BOND,
    "bent": BENT,
    "tri_plan_max": PLANE,
    "tet_max": PLANE,
    "T": PYRAMID,
    "tri_pyr": PYRAMID,
    "sq_pyr": PYRAMID,
    "pent_pyr": PYRAMID,
    "hex_pyr": PYRAMID,
    "sq_plan_max": BIPYRAMID,
    "oct_max": BIPYRAMID,
    "tri_bipyr": BIPYRAMID,
    "pent_bipyr": BIPYRAMID,
    "hex_bipyr": BIPYRAMID,
    "see_saw_rect": SEE_SAW,
    "hex_plan_max": HEXAGON,
    "pent_plan_max": PENTAGON,
    "bcc": BCC,
    "cuboct_max": CUBOCTAHEDRON,
    "q2": STEINHARDT,
    "q4": STEINHARDT,
    "q6": STEINHARDT,
}
PARAMETERS = ("TA", "IGW_TA", "fac_AA", "min_SPP", "IGW_SPP", "IGW_EP", "w_SPP", 2, 4, 5, 6)  # pymatgen's names; the last is also l
_TA, _IGW_TA, _AA, _SPP, _IGW_SPP, _IGW_EP, _W, _UPPER, _LOWER, _IGW_EQUATOR, _IGW_THIRD = range(11)
_SMALL = 1e-12
_ALIGNED = 1 - 1e-12  # of a cosine, beyond which an azimuth is 0


@njit(cache=True)
def motif_values(vectors: np.ndarray, kinds: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Return the order parameters of one site, (m,).

    Args:
        vectors: to its neighbours, Å, (n, 3).
        kinds: of `KINDS`, (m,).
        parameters: in the order of `PARAMETERS`, (m, 11); of Steinhardt's q_l the last is l.
    """
    n = len(vectors)
    unit = np.empty((n, 3))
    for j in range(n):
        unit[j] = vectors[j] / math.sqrt((vectors[j] ** 2).sum())
    theta, phi, along = _angles(unit)
    values = np.empty(len(kinds))
    for place in range(len(kinds)):
        kind, p = kinds[place], parameters[place]
        if kind == BOND:
            values[place] = _bond(vectors)
        elif kind == STEINHARDT:
            values[place] = _steinhardt(unit, int(p[-1]))
        else:
            values[place] = _motif(kind, p, theta, phi, along)
    return values


@njit(cache=True)
def _angles(unit):
    """Polar angle of k from the pole j (n, n), azimuth of m from the meridian of k (n, n, n), and whether k lies on j's axis (n, n)."""
    n = len(unit)
    theta, phi, along, across = np.zeros((n, n)), np.zeros((n, n, n)), np.zeros((n, n), dtype=np.bool_), np.zeros((n, n, 3))
    for j in range(n):
        square = _dot(unit[j], unit[j])
        for k in range(n):
            if k == j:
                continue
            cosine = _dot(unit[j], unit[k])
            theta[j, k] = math.acos(max(-1.0, min(cosine, 1.0)))
            vector = unit[k] - (cosine / square) * unit[j]
            length = math.sqrt(_dot(vector, vector))
            along[j, k] = length < _SMALL
            if not along[j, k]:
                across[j, k] = vector / length
        for k in range(n):
            for m in range(n):
                if j not in (k, m) and k != m and not along[j, k] and not along[j, m]:
                    phi[j, k, m] = math.acos(max(-1.0, min(_dot(across[j, m], across[j, k]), 1.0)))
    return theta, phi, along


@njit(cache=True)
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True)
def _gauss(width, gap):
    return math.exp(-0.5 * (width * gap) ** 2)


@njit(cache=True)
def _bond(vectors):
    if len(vectors) == 1:
        return 1.0
    lengths = np.sort(np.sqrt((vectors**2).sum(axis=1)))
    return 1 - lengths[0] / lengths[1]


@njit(cache=True)
def _motif(kind, p, theta, phi, along):
    """The mean over pole and meridian (bent, bcc) or the best of them (the others)."""
    n, best, total, counted = len(theta), 0.0, 0.0, 0.0
    for j in range(n):
        for k in range(n):
            if j == k:
                continue
            value, norm = _of_meridian(kind, p, theta[j, k] / math.pi, theta[j, k], j < k)
            if not along[j, k]:
                for m in range(n):
                    if m in (j, k):
                        continue
                    if kind in (BIPYRAMID, SEE_SAW, HEXAGON) and theta[j, m] >= p[_SPP]:
                        value += _gauss(p[_IGW_SPP], theta[j, m] / math.pi - 1.0)
                        norm += 1
                    if not along[j, m]:
                        more, weight = _of_other(kind, p, theta[j, k], theta[j, m], phi[j, k, m], j < k)
                        value += more
                        norm += weight
            total += value
            counted += norm
            best = max(best, value / norm if norm > _SMALL else 0.0)
    if kind == BENT:
        return total / counted if counted > _SMALL else 0.0
    if kind == BCC:
        return total / (0.5 * n * (6 + (n - 2) * (n - 3))) if n > 3 else 0.0
    return best


@njit(cache=True)
def _of_meridian(kind, p, share, theta, forward):
    """What the neighbour on the meridian contributes, and its weight. share: its polar angle in units of pi."""
    if kind in (BENT, PLANE):
        return _gauss(p[_IGW_TA], share - p[_TA]), 1.0
    if kind == PYRAMID or (kind in (BIPYRAMID, SEE_SAW) and theta < p[_SPP]):
        return _gauss(p[_IGW_EP], share - 0.5), 1.0
    if kind == HEXAGON and theta < p[_SPP]:
        return _gauss(p[_IGW_TA], abs(share - 0.5) - p[_TA]), 1.0
    if kind == PENTAGON:
        return _gauss(p[_IGW_TA], share - (0.4 if theta <= p[_TA] * math.pi else 0.8)), 1.0
    if (kind == CUBOCTAHEDRON or (kind == BCC and forward)) and theta >= p[_SPP]:
        return p[_W] * _gauss(p[_IGW_SPP], share - 1.0), p[_W]
    return 0.0, 0.0


@njit(cache=True)
def _of_other(kind, p, theta, other, phi, forward):
    """What a further neighbour contributes, and its weight. theta, other: polar angles on the meridian and of the further one."""
    share = other / math.pi
    if kind == PLANE:
        return _gauss(p[_IGW_TA], share - p[_TA]) * math.cos(p[_AA] * phi) ** 2, 1.0
    if kind == PENTAGON:
        return _gauss(p[_IGW_TA], share - (0.4 if other <= p[_TA] * math.pi else 0.8)) * math.cos(phi) ** 2, 1.0
    if kind == PYRAMID:
        return math.cos(p[_AA] * phi) ** 2 * _gauss(p[_IGW_EP], share - 0.5), 1.0
    if kind in (BIPYRAMID, SEE_SAW, HEXAGON):
        if other >= p[_SPP] or theta >= p[_SPP] or (kind == SEE_SAW and phi >= 0.75 * math.pi):
            return 0.0, 0.0
        at = _gauss(p[_IGW_TA], abs(share - 0.5) - p[_TA]) if kind == HEXAGON else _gauss(p[_IGW_EP], share - 0.5)
        return math.cos(p[_AA] * phi) ** 2 * at, 1.0
    if kind == BCC and forward and theta < p[_SPP]:
        gap = (other - math.pi / 2) / math.asin(1 / 3)
        side = 1.0 if theta > math.pi / 2 else -1.0
        return side * math.cos(3 * phi) / math.exp(-0.5) * gap * math.exp(-0.5 * gap * gap), 1.0
    if kind == CUBOCTAHEDRON and other < p[_SPP] and p[_LOWER] < theta < p[_UPPER]:
        if p[_LOWER] < other < p[_UPPER]:
            return math.cos(phi) ** 2 * _gauss(p[_IGW_EQUATOR], share - 0.5), 1.0
        third = 1 / 3 if other < p[_LOWER] else 2 / 3
        if other != p[_LOWER] and other != p[_UPPER]:
            return _gauss(0.0556, math.cos(phi - 0.5 * math.pi) - 0.81649658) * _gauss(p[_IGW_THIRD], share - third), 1.0
    return 0.0, 0.0


@njit(cache=True)
def _steinhardt(unit, degree):
    """Bond-orientational order q_l (Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983)), by sums of spherical harmonics."""
    n, total = len(unit), 0.0
    azimuths = np.zeros(n)
    for i in range(n):
        if abs(unit[i, 2]) < _ALIGNED:
            cosine = unit[i, 0] / math.sqrt(unit[i, 0] ** 2 + unit[i, 1] ** 2)
            azimuths[i] = math.copysign(math.acos(max(-1.0, min(cosine, 1.0))), unit[i, 1])
    for order in range(degree + 1):
        real, imaginary = 0.0, 0.0
        for i in range(n):
            value = _legendre(degree, order, max(-1.0, min(unit[i, 2], 1.0)))
            real += value * math.cos(order * azimuths[i])
            imaginary += value * math.sin(order * azimuths[i])
        total += (2 if order else 1) * (real * real + imaginary * imaginary)
    return math.sqrt(4 * math.pi * total / (2 * degree + 1)) / n


@njit(cache=True)
def _legendre(degree, order, x):
    """The associated Legendre function, normalised as in spherical harmonics, without its sign."""
    value = math.sqrt(1 / (4 * math.pi))
    for m in range(1, order + 1):
        value *= math.sqrt((2 * m + 1) / (2 * m)) * math.sqrt(1 - x * x)
    before = 0.0
    for d in range(order + 1, degree + 1):
        scale = math.sqrt((4 * d * d - 1) / (d * d - order * order))
        less = math.sqrt(((d - 1) ** 2 - order * order) / (4 * (d - 1) ** 2 - 1)) if d - 1 > order else 0.0
        before, value = value, scale * (x * value - less * before)
    return value
