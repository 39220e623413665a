"""Collect single points of Materials Project structures, and say how far they are off. Run:

    python benchmarks/single_points.py compute DATA SHARDS     # resumable, hours; tables of the folder DATA
    python benchmarks/single_points.py collect DATA SHARDS     # writes the shipped table and its card

DATA is a folder with mp_le20.parquet (a benchmark table with formation energies of several vintages), mp_21_60.parquet (larger cells,
without energies) and mp_pbe_element_refs.parquet (elements); the structures are used as they are. Energies are by SevenNet 7net-l3i5,
in shards of 250 structures: first those of MP-20, which lie within 0.08 eV/atom of the hull and so make it, then the others, the
smallest cells first.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Element, Lattice, Structure

from crystalgen.chemistry.spacegroups import find_space_groups
from crystalgen.crystals.table import formulas, from_columns
from crystalgen.potentials.shipped import SINGLE_POINTS
from crystalgen.potentials.single_point import energies_per_atom
from crystalgen.stability.hull import elemental_references

TABLES = ("mp_pbe_element_refs", "mp_le20", "mp_21_60")  # the elements' polymorphs first; cells above the size are left out
MAX_SITES = 60
SMALL = 20  # sites of the cells whose formation energies are known
VINTAGE = "e_form_mp2021_mp20"
SHARD = 250
_CARD = """# Single points of Materials Project structures

{small:,} of {all_small:,} structures of at most 20 atoms, {large:,} of {all_large:,} of 21 to 60 atoms, and {elements} polymorphs of
the elements, by SevenNet 7net-l3i5 (MIT), as they are: id, reduced formula, space group at 0.1 Å, number of sites, energy in eV/atom.
The structures are the Materials Project's (CC BY 4.0; those of elements as matcalc has them, BSD-3, named like `Fe-3`) and are not
included; `benchmarks/single_points.py` computes and collects them.

Beside {known:,} formation energies by density-functional theory in the version of 2021, with its corrections for anions and GGA+U,
against the elements' own lowest, the mean absolute difference is {mean:.3f} eV/atom and the median {median:.3f}. Most of it is those
corrections, which the potential does not know: with one shift an element, fitted by least squares, {left:.3f} and {left_median:.3f}
are left.

| element | structures | mean absolute difference, eV/atom | after the shifts | shift, eV per atom |
|---|---|---|---|---|"""


def main() -> None:
    """Compute, or collect what was computed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["compute", "collect"])
    parser.add_argument("data", type=Path)
    parser.add_argument("shards", type=Path)
    args = parser.parse_args()
    for name in TABLES:
        if args.what == "compute":
            compute(pd.read_parquet(args.data / f"{name}.parquet"), args.shards / name)
    if args.what == "collect":
        collect(args.data, args.shards)


def compute(table: pd.DataFrame, folder: Path) -> None:
    """Write the shards that are not there yet, of structures that the shipped table lacks; a shard has its first structure's name."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table[~table["id"].isin(pd.read_parquet(SINGLE_POINTS, columns=["id"])["id"])]
    near_hull = table["mp20_split"].notna() if "mp20_split" in table else pd.Series(True, index=table.index)
    table = table.assign(n=table["z"].map(len), later=~near_hull).query("n <= @MAX_SITES")
    table = table.sort_values(["later", "n", "id"], kind="stable").reset_index(drop=True)
    for start in range(0, len(table), SHARD):
        part, energies = table.iloc[start : start + SHARD], []
        file = folder / f"{part['id'].iloc[0]}.parquet"
        if file.exists():
            continue
        for lattice, numbers, coords in zip(part["lattice"], part["z"], part["frac"], strict=True):
            structure = Structure(Lattice.from_parameters(*lattice), [int(z) for z in numbers], np.reshape(coords, (-1, 3)))
            try:
                energies.append(float(energies_per_atom([structure])[0]))
            except Exception:  # the potential raises types of its own
                energies.append(np.nan)
        written = file.with_suffix(".part")
        pd.DataFrame({"id": part["id"].to_numpy(), "energy_per_atom": energies}).to_parquet(written)
        written.rename(file)
        print(start + len(part), int(part["n"].iloc[0]), flush=True)


def collect(data: Path, folder: Path) -> None:
    """Write the shipped table from all shards and what it held before, and its card beside it."""
    elements, *tables = (pd.read_parquet(data / f"{name}.parquet") for name in TABLES)
    table = pd.concat(tables, ignore_index=True)
    elements = elements.drop(columns="energy_per_atom").assign(natoms=elements["z"].map(len))
    lattices = [Lattice.from_parameters(*lattice).matrix for lattice in elements["lattice"]]
    coords = [np.reshape(x, (-1, 3)) for x in elements["frac"]]
    elements["spacegroup_symprec0.1"] = find_space_groups(from_columns(lattices, elements["z"], coords, "elements"), 0.1)["space_group"]
    shards = [file for name in TABLES for file in sorted((folder / name).glob("*.parquet"))]
    shipped = pd.read_parquet(SINGLE_POINTS, columns=["id", "energy_per_atom"]).astype({"energy_per_atom": float})
    found = pd.concat([*map(pd.read_parquet, shards), shipped], ignore_index=True).dropna().drop_duplicates("id")
    known = pd.concat([elements.dropna(), table.drop_duplicates("id")], ignore_index=True)
    rows = found.merge(known, on="id", validate="one_to_one")
    rows["formula"] = formulas(list(rows["z"]))[1]
    shipped = pd.DataFrame({
        "id": rows["id"],
        "formula": rows["formula"].astype("category"),
        "space_group": rows["spacegroup_symprec0.1"].astype("int16"),
        "nsites": rows["natoms"].astype("int8"),
        "energy_per_atom": rows["energy_per_atom"].astype("float32"),
    })  # fmt: skip
    shipped.sort_values(["formula", "energy_per_atom"]).to_parquet(SINGLE_POINTS, index=False, compression="zstd")
    rows["atomic_numbers"] = rows["z"].map(np.asarray)
    references = elemental_references(rows)
    own = np.array([energy - references[z].mean() for energy, z in zip(rows["energy_per_atom"], rows["atomic_numbers"], strict=True)])
    known = rows[VINTAGE].notna().to_numpy() & np.isfinite(own)
    shares = np.stack([np.bincount(z, minlength=120) / len(z) for z in rows["atomic_numbers"]])[known]
    apart = own[known] - rows[VINTAGE].to_numpy(float)[known]
    shifts = np.linalg.lstsq(shares, apart, rcond=None)[0]
    left = apart - shares @ shifts
    unary, large = rows["id"].isin(elements["id"]), rows["natoms"] > SMALL
    lines = _CARD.format(
        small=(~unary & ~large).sum(), all_small=len(tables[0]), large=(~unary & large).sum(), all_large=len(tables[1]),
        elements=unary.sum(), known=known.sum(),
        mean=np.abs(apart).mean(), median=np.median(np.abs(apart)),
        left=np.abs(left).mean(), left_median=np.median(np.abs(left)),
    ).split("\n")  # fmt: skip
    for z in range(1, 104):
        inside = shares[:, z] > 0
        if inside.any():
            numbers = f"{np.abs(apart[inside]).mean():.3f} | {np.abs(left[inside]).mean():.3f} | {shifts[z]:+.2f}"
            lines.append(f"| {Element.from_Z(z).symbol} | {inside.sum()} | {numbers} |")
    held = set(np.concatenate(rows["atomic_numbers"].to_numpy()).tolist())
    missing = [Element.from_Z(z).symbol for z in sorted(held) if np.isnan(references[z])]
    lines += ["", f"Elements without a crystal of their own in the table, of which there is no hull: {', '.join(missing) or 'none'}."]
    SINGLE_POINTS.with_name("card.md").write_text("\n".join(lines) + "\n")
    print(len(shipped), SINGLE_POINTS.stat().st_size / 1e6, "MB")


if __name__ == "__main__":
    main()
