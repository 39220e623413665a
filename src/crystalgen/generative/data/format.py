"""The file of tensors: what `represent.tensors` writes, and training and sampling read. Neither numpy nor torch here.

A file of the matrix representation holds, for n crystals, x (n, rows, 3), fractional coordinates with the lattice (Å) in the last
three rows; atomic_numbers (n, rows), 0 where a row holds no atom; nsites (n,); group (n,), the same number for polymorphs of one
formula; and, for models that are shown one, template (n, rows, 3), a crystal of the same composition in the form of x, NaN where
there is none; and, for models that are trained on orbits, orbit (n, rows), the same number for sites of an orbit, the last row's
where a row holds no atom, and fixed (n, rows), whether an orbit cannot move against the first site. A file of UniMat holds row
(n,), a crystal's row in the study's table; place (n, A), the number of each atom's place in a grid (L, H, W), -1 after the last
atom; frac_coords (n, A, 3) in [0, 1); cell (n, 6), Å and degrees. Both hold split (n,), see SPLITS, and the properties (n,), see
PROPERTIES, NaN or 0 where unknown. The rest (TABLES) is of the training crystals together: <name>_mean and <name>_std, and tables
that networks are built on.
"""

from dataclasses import dataclass

SPLITS = {"train": 0, "val": 1, "test": 2, "held_out": 3}
TRAIN, VAL, TEST, HELD_OUT = SPLITS.values()

LATTICE_ROWS = 3  # the last rows of a matrix
EXTRA_ROWS = 1 + LATTICE_ROWS  # one of padding above them

NULL = -1.0  # each coordinate of a place of UniMat without an atom (A §2.1); those of atoms lie in [0, 1)
NULL_THRESHOLD = -0.5  # a place whose mean coordinate is below this, half way from NULL to 0, holds no atom

WRAP_TOLERANCE = 1e-5  # of a fractional coordinate; what lies less than this below 1 is 0

ELEMENTS = 119  # atomic numbers that may occur, 0 for none
SPACE_GROUPS = 231  # numbers of space groups, 0 for an unknown one


@dataclass(frozen=True)
class Property:
    """A property that a model may be conditioned on: its column in a table of crystals, its tensor, and whether it is a category."""

    column: str
    tensor: str
    categories: int | None = None  # numbers from 1 below this; without, a number, standardised for a network


PROPERTIES = {
    p.column: p
    for p in (
        Property("formation_energy_per_atom", "energy"),  # eV/atom
        Property("band_gap", "band_gap"),  # eV
        Property("space_group", "space_group", SPACE_GROUPS),
    )
}
SCALARS = {column: p.tensor for column, p in PROPERTIES.items() if p.categories is None}

CRYSTALS = {  # tensors with a row per crystal
    "matrix": ("x", "atomic_numbers", "nsites", "space_group", "energy", "split", "group"),
    "unimat": ("row", "place", "frac_coords", "cell", "split", *(p.tensor for p in PROPERTIES.values())),
}
TABLES = {  # of the training crystals together
    "matrix": ("element_properties", "operations", "lattice_mean", "lattice_std", "energy_mean", "energy_std"),
    "unimat": (
        "elements",  # atomic number at each place (H, W), 0 where there is none
        "depth",  # L (1,)
        *(f"{name}_{what}" for name in ("cell", *SCALARS.values()) for what in ("mean", "std")),
        "cartesian_low",  # least and greatest Cartesian coordinates of atoms (3,), Å
        "cartesian_high",
    ),
}
