"""Labels and units of the columns that tables and figures show, each defined once."""

LABELS = {
    "formation_energy_per_atom": ("formation energy", "eV/atom"),
    "energy_per_atom": ("energy", "eV/atom"),
    "e_above_hull": ("energy above the hull", "eV/atom"),
    "asked_formation_energy_per_atom": ("target formation energy", "eV/atom"),
    "density": ("density", "g/cm³"),
    "nsites": ("atoms in the cell", ""),
    "elements": ("different elements", ""),
    "space_group": ("space group", ""),
    "asked_space_group": ("target space group", ""),
    "match_rate": ("match rate", ""),
    "known_id": ("known crystal", ""),
}


def axis_label(name: str, unit: str | None = None) -> str:
    """Return a column's label with its unit, such as `formation energy (eV/atom)`; an unknown column stands with spaces.

    Args:
        name: of the column.
        unit: in place of the column's own, where values were converted.
    """
    label, own = LABELS.get(name, (name.replace("_", " "), ""))
    unit = own if unit is None else unit
    return f"{label} ({unit})" if unit else label
