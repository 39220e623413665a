"""CHGNet's forces, relaxations a minute one by one, together and in two processes, and hulls. Run: python benchmarks/physics.py

Forces: energy, forces and stress of those crystals by our calculator and by the package's, one after the other, twice.
Together: --crystals of the library, moved by noise, to 0.1 eV/Å in 25 steps at most by each potential, in one process and one call a step,
beside one crystal after the other by its calculator, for SevenNet the package's own.
Relaxations: the same with their 7net-l3i5 energy, in one and two processes; the second run starts from nothing too.
Hulls: --entries entries of ternary systems of the library's elements, energies above the hull and, for a thousand compositions, what they
decompose into.
"""

import argparse
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from chgnet.model import CHGNetCalculator
from pymatgen.io.ase import AseAtomsAdaptor

from crystalgen.crystals import formulas, read_crystals, to_structures
from crystalgen.metrics.perturbations import moved
from crystalgen.potentials.batched import relax_together
from crystalgen.potentials.chgnet import chgnet
from crystalgen.potentials.registry import ENERGY_SOURCE, calculator
from crystalgen.potentials.relaxation import Relaxation, minimise, relax_table
from crystalgen.stability.hull import Hull
from crystalgen.utils import paths


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crystals", type=int, default=60)
    parser.add_argument("--entries", type=int, default=10_000)
    args = parser.parse_args()
    library = read_crystals(paths.LIBRARY / "crystals.parquet")
    if args.crystals:
        forces(library, args.crystals)
        together(library, args.crystals)
        relaxations(library, args.crystals)
    if args.entries:
        hulls(library, args.entries)


def forces(library, count: int) -> None:
    """Time of a step, and how far the two calculators are apart."""
    atoms = [AseAtomsAdaptor.get_atoms(structure) for structure in to_structures(_some(library, count))]
    ours = calculator("chgnet")
    theirs = CHGNetCalculator(chgnet(), use_device="cpu", verbose=False)
    seconds, found = {}, {}
    for name, forces in 2 * [("ours", ours), ("theirs", theirs)]:  # the second round is warm
        start, found[name] = time.perf_counter(), []
        for crystal in atoms:
            forces.calculate(crystal)
            found[name].append(forces.results["forces"])
        seconds[name] = time.perf_counter() - start
    apart = max(np.abs(a - b).max() for a, b in zip(*found.values(), strict=True))
    milliseconds = {name: f"{1000 * value / count:.1f}" for name, value in seconds.items()}
    print(f"CHGNet, energy, forces and stress of a crystal, ms: {milliseconds}, {seconds['theirs'] / seconds['ours']:.2f} x; "
          f"forces at most {apart:.0e} eV/Å apart", flush=True)  # fmt: skip


def _some(library, count: int):
    some = library[library["nsites"].between(4, 8)].sample(count, random_state=0).reset_index(drop=True)
    return moved(some, np.random.default_rng(0), 0.1)


def relaxations(library, count: int) -> None:
    """Throughput and its ratio; a process's start, and loading the potentials, count."""
    some = _some(library, count)
    seconds = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            table = relax_table(some, Relaxation(max_steps=25), Path(folder), workers)
            seconds[workers] = time.perf_counter() - start
        failed = table["relaxation"].str.startswith("failed").sum()
        print(f"{workers} process{'es' if workers > 1 else ''}: {count} crystals of {some['nsites'].mean():.1f} atoms, "
              f"{table['steps'].mean():.0f} steps each, {failed} failed: {60 * count / seconds[workers]:.1f} a minute",
              flush=True)  # fmt: skip
    print(f"two processes: {seconds[1] / seconds[2]:.2f} x one")


def together(library, count: int) -> None:
    """CPU time of relaxing crystals by each potential, one by one with its calculator and together, and whether results agree."""
    structures = sorted(to_structures(_some(library, count)), key=len)
    for potential in ("chgnet", "7net-l3i5"):
        seconds, found = {}, {}
        for name in 2 * ("one by one", "together"):  # the second round is warm
            start = time.process_time()
            if name == "together":
                found[name] = [one.structure.volume for one in relax_together(structures, 0.1, 25, potential=potential)]
            else:
                found[name] = [minimise(structure, 0.1, 25, None, calculator(potential))[0].volume for structure in structures]
            seconds[name] = time.process_time() - start
        apart = max(abs(a / b - 1) for a, b in zip(*found.values(), strict=True))
        rates = {name: f"{60 * count / value:.0f}" for name, value in seconds.items()}
        print(f"{potential}, 25 steps, crystals a minute of one core: {rates}, {seconds['one by one'] / seconds['together']:.2f} x; "
              f"volumes at most {apart:.0e} apart", flush=True)  # fmt: skip


def hulls(library, count: int) -> None:
    """Energies above the hull of drawn entries; a system's diagram is made once."""
    elements = sorted({int(z) for numbers in library["atomic_numbers"] for z in numbers})
    rng, systems = np.random.default_rng(0), list(combinations(elements, 3))
    numbers = [np.repeat(systems[rng.integers(len(systems))], rng.integers(1, 5, 3)) for _ in range(count)]
    names, _ = formulas(numbers)
    energies = rng.normal(-0.3, 0.3, count)
    start = time.perf_counter()
    hull = Hull(library)
    above = hull.above(names, energies, ENERGY_SOURCE)
    first = time.perf_counter() - start
    start = time.perf_counter()
    hull.above(names, energies, ENERGY_SOURCE)
    again = time.perf_counter() - start
    start = time.perf_counter()
    for name in names[:1000]:
        hull.decomposition(name)
    decomposed = time.perf_counter() - start
    print(f"{count} entries of {len(systems)} ternary systems, hull of {len(library)} crystals: {first:.1f} s with the hull itself, "
          f"{again:.1f} s again; 1,000 decompositions {decomposed:.1f} s; {(above < 0).sum()} below the hull")  # fmt: skip


if __name__ == "__main__":
    main()
