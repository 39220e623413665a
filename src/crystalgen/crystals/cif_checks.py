"""What a CIF's sites become under its operations, and whether that is what the file says of itself."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element
from scipy.spatial import cKDTree

from crystalgen.crystals.cif_formulas import difference, read_formulas, reduction, same_ratio
from crystalgen.crystals.cif_operations import Operations
from crystalgen.crystals.cif_sites import NUMBER, Sites

NEAR = 0.5  # angstrom; no two atoms are as near, so images within it are one atom
SNAP = 0.1  # angstrom that rounding may have moved an atom off its special position
COINCIDENT = 0.1  # angstrom within which two sites are one
STRAIN = 0.02  # of the metric tensor, between a cell's rounded or refined axes and its symmetry


@dataclass
class Candidate:
    """The crystal that the sites make under one set of operations, and what speaks against and for it.

    site: of each atom, the index of its site. against: reasons why it is not what the file says. support: how many
    of the file's own statements on the content of the cell (Z, multiplicities, density) it meets. misfit: the cell's
    axes contradict the operations. places: how many distinct places the images have, if any share one.
    """

    operations: Operations
    coords: np.ndarray
    site: np.ndarray
    notes: list[str]
    against: list[str]
    support: int = 0
    misfit: bool = False
    places: int = 0

    def content(self, sites: Sites) -> Counter:
        """Return the number of atoms per element."""
        return Counter(sites.elements[i] for i in self.site)


def build(sites: Sites, operations: Operations, lattice: np.ndarray) -> Candidate:
    """Apply the operations to each site; atoms near a special position are moved onto it, with a note.

    Args:
        sites: of the block.
        operations: of a group; the first is the identity.
        lattice: rows are a, b, c, angstrom.
    """
    candidate = Candidate(operations, sites.coords % 1.0, np.arange(len(sites.names)), [], [])
    if len(operations) > 1:
        strain = operations.strain(lattice @ lattice.T)
        if strain > STRAIN:
            candidate.against.append(f"the cell does not have the symmetry of {operations.name}")
            candidate.misfit = True
            return candidate
        orbits = [_orbit(i, sites, operations, lattice, candidate) for i in range(len(sites.names))]
        if candidate.against:
            return candidate
        candidate.coords = np.concatenate(orbits) % 1.0
        candidate.site = np.repeat(candidate.site, [len(orbit) for orbit in orbits])
    candidate.coords[candidate.coords >= 1.0] = 0.0  # -1e-17 % 1.0 is 1.0
    if clash := _clash(candidate, lattice):
        first, second, distance, candidate.places = clash
        names = [sites.names[i] for i in (first, second)]
        same = sites.elements[first] == sites.elements[second]
        if len(operations) > 1 and same:
            reason = (
                f"sites {names[0]} and {names[1]} are images of one another under {operations.name}: "
                "all sites are given and all operations too"
            )
        else:
            reason = f"coincident atoms {names[0]} and {names[1]} ({distance:.2f} angstrom apart)"
        candidate.against.append(reason)
    return candidate


def _orbit(index: int, sites: Sites, operations: Operations, lattice: np.ndarray, candidate: Candidate) -> np.ndarray:
    """Return the distinct images (n, 3) of a site, or report in `candidate` that there are no such."""
    position = sites.coords[index]
    images, distances, offsets = _images(position, operations, lattice)
    near = distances < NEAR
    if near.sum() == 1:
        return images
    shift = offsets[near].mean(axis=0)
    moved = float(np.linalg.norm(shift @ lattice))
    images, distances, _ = _images(position + shift, operations, lattice)
    size, rest = divmod(len(operations), int(near.sum()))
    if moved > SNAP or rest or (distances < 1e-3).sum() != near.sum():
        gap = 2 * moved if moved > SNAP else float(distances[near].max())
        candidate.against.append(
            f"images of {sites.names[index]} under {operations.name} are {gap:.2f} angstrom apart, neither one atom nor two"
        )
        return images
    if moved > 1e-3:
        candidate.notes.append(f"{sites.names[index]} moved by {moved:.3f} angstrom onto its special position")
    keys = np.round((images % 1.0) * 1e5 + 0.2718).astype(np.int64) % 100_000
    first = np.unique(keys @ (1, 100_000, 10_000_000_000), return_index=True)[1]
    if len(first) != size:  # an image sits where rounding breaks
        gaps = images[:, None] - images
        first = np.unique((np.abs(gaps - np.round(gaps)).max(axis=-1) < 1e-4).argmax(axis=1))
    return images[np.sort(first)]


def _images(position: np.ndarray, operations: Operations, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the images (n, 3) of a position, their distances (n) to it, and the fractional offsets (n, 3)."""
    images = operations.rotations @ position + operations.translations
    offsets = images - position
    offsets -= np.round(offsets)
    return images, np.linalg.norm(offsets @ lattice, axis=1), offsets


def _clash(candidate: Candidate, lattice: np.ndarray) -> tuple[int, int, float, int] | None:
    """Return two sites that share a place, their atoms' distance in angstrom, and how many places there are in all."""
    grid = np.round(candidate.coords * 1e6).astype(np.int64) % 1_000_000
    kept, counts = np.unique(grid, axis=0, return_index=True, return_counts=True)[1:]
    if counts.max() > 1:  # exact repeats go first: thousands of atoms on one place make millions of pairs
        first, second = np.flatnonzero((grid == grid[kept[counts.argmax()]]).all(axis=1))[:2]
        return int(candidate.site[first]), int(candidate.site[second]), 0.0, len(kept)
    reach = COINCIDENT / np.linalg.svd(lattice, compute_uv=False)[-1]
    pairs = cKDTree(candidate.coords, boxsize=1.0).query_pairs(min(reach, 0.49), output_type="ndarray")
    offsets = candidate.coords[pairs[:, 0]] - candidate.coords[pairs[:, 1]]
    distances = np.linalg.norm((offsets - np.round(offsets)) @ lattice, axis=1)
    close = np.flatnonzero((distances < COINCIDENT) & (candidate.site[pairs[:, 0]] != candidate.site[pairs[:, 1]]))
    if not len(close):
        return None
    first, second = sorted(candidate.site[pairs[close[0]]])
    return int(first), int(second), float(distances[close[0]]), len(candidate.coords) - len(np.unique(pairs[close].max(axis=1)))


def compare(candidate: Candidate, sites: Sites, block: dict, volume: float) -> None:
    """Hold a crystal against what its file says of it: formula, Z, multiplicities, density, hydrogens not given.

    Args:
        candidate: gets the contradictions, and how many statements it meets.
        sites: of the block.
        block: the data names and values.
        volume: of the cell, cubic angstrom.
    """
    if candidate.against:
        return
    content = candidate.content(sites)
    _compare_multiplicities(candidate, sites)
    density = _positive(block, "_exptl_crystal_density_diffrn")
    dense = None
    if density:
        built = sum(float(Element(e).atomic_mass) * n for e, n in content.items()) / volume / 0.602214
        dense = abs(built / density - 1) < 0.05
        candidate.support += dense
    text, formulas = read_formulas(block)
    if text and not formulas:
        candidate.against.append(f"formula line '{text}' cannot be read")
    elif not formulas:
        implied = sum(sites.implied_hydrogens[i] for i in candidate.site)
        if implied > content["H"]:
            candidate.against.append(f"hydrogens are not given ({implied:g} more are named by its sites, none has coordinates)")
        if dense is False:
            candidate.against.append(f"a density of {built:.3f} g/cm3 where _exptl_crystal_density_diffrn says {density:g}")
    if not formulas:
        return
    agreeing = [f for f in formulas if same_ratio(content, f)]
    if not agreeing:
        candidate.against.append(difference(content, formulas[-1], text))
        return
    units = _positive(block, "_cell_formula_units_z")
    if units:
        formula = agreeing[0]
        built_units = sum(content.values()) / sum(formula.values())
        whole_cell = abs(built_units - 1) < 0.01 and reduction(formula) == units  # as pymatgen and generators write it
        if abs(built_units - units) < 0.01 * units or whole_cell:
            candidate.support += 1
            if dense is False:
                candidate.notes.append(f"_exptl_crystal_density_diffrn {density:g} passed over: sites and Z say {built:.3f} g/cm3")
        elif dense:
            candidate.notes.append(f"_cell_formula_units_Z {units:g} passed over: sites and density say {built_units:g}")
        else:
            candidate.against.append(f"the cell holds {built_units:.4g} formula units of {text} where _cell_formula_units_Z says {units:g}")
    elif dense is False:
        candidate.against.append(f"a density of {built:.3f} g/cm3 where _exptl_crystal_density_diffrn says {density:g}")


def _compare_multiplicities(candidate: Candidate, sites: Sites) -> None:
    """Compare orbits with the multiplicities given; SHELXL-97 gave the order of the site symmetry under that name."""
    sizes = np.bincount(candidate.site, minlength=len(sites.names))
    given = np.array(sites.multiplicities)
    known = given > 0
    if not known.any():
        return
    direct = sizes[known] == given[known]
    orders = sizes[known] * given[known] == len(candidate.operations)
    if direct.all():
        candidate.support += bool(given.max() > 1 or len(candidate.operations) == 1)
    elif not orders.all():
        i = int(np.flatnonzero(known)[~direct][0])
        candidate.against.append(
            f"site {sites.names[i]} has {sizes[i]} images under {candidate.operations.name} where its multiplicity is given as {given[i]}"
        )


def _positive(block: dict, key: str) -> float:
    match = NUMBER.fullmatch(str(block.get(key, "")).strip())
    return float(match[1]) if match and float(match[1]) > 0 else 0.0
