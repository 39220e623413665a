"""CIFs to test with, put together from what a test says of them."""

from collections.abc import Sequence

CUBIC = (5.64, 5.64, 5.64, 90, 90, 90)
IDENTITY = ("x, y, z",)
ROCKSALT = [f"Na{i} Na {x} 1" for i, x in enumerate(("0 0 0", "0 0.5 0.5", "0.5 0 0.5", "0.5 0.5 0"))] + [
    f"Cl{i} Cl {x} 1" for i, x in enumerate(("0.5 0.5 0.5", "0.5 0 0", "0 0.5 0", "0 0 0.5"))
]
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")


def cif(
    sites: Sequence[str],
    cell: Sequence[float] = CUBIC,
    operations: Sequence[str] | None = IDENTITY,
    columns: Sequence[str] = COLUMNS,
    name: str = "test",
    **values: object,
) -> str:
    """Return a data block: rows of atom sites, the operations listed, and data names such as `formula` or `hm`."""
    names = {
        "formula": "_chemical_formula_sum",
        "units": "_cell_formula_units_Z",
        "hm": "_symmetry_space_group_name_H-M",
        "hall": "_symmetry_space_group_name_Hall",
        "number": "_symmetry_Int_Tables_number",
        "volume": "_cell_volume",
        "density": "_exptl_crystal_density_diffrn",
    }
    keys = [f"_cell_length_{k}" for k in "abc"] + [f"_cell_angle_{k}" for k in ("alpha", "beta", "gamma")]
    lines = [f"data_{name}", *(f"{key} {value}" for key, value in zip(keys, cell, strict=True))]
    quote = {key: '"' if "'" in str(value) else "'" for key, value in values.items()}
    lines += [f"{names[key]} {quote[key]}{value}{quote[key]}" for key, value in values.items()]
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{line}'" for line in operations)]
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns), *sites]
    return "\n".join(lines) + "\n"
