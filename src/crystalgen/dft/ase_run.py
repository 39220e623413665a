"""Relax and compute crystals with an open density-functional code, driven by ASE; one folder a crystal.

Runs in any Python that has ASE and the code, without crystalgen: `gpaw python ase_run.py ROOT`, or under `mpirun`. Each folder
below ROOT with an input.json is taken in order of its path; several processes may share a tree. What a folder gets:

| file | holds |
|---|---|
| relax-<n>.txt.gz, relax.log | the code's output of each start, and the optimiser's steps |
| static.txt.gz | the code's output of the last, finer calculation: what is ingested |
| geometry.json | the last geometry, from which an interrupted run goes on; or that of `prerelax`, from which it starts |
| hessian.json | until it is relaxed: the stiffness that `prerelax` found, from which the optimiser starts |
| record.json | how it ended, versions, cores, seconds |

Account, process and folder are struck out of the outputs; nothing else is changed.
"""

import argparse
import fcntl
import gc
import gzip
import json
import os
import re
import shutil
import sys
import time
from functools import partial
from pathlib import Path

import ase
import numpy as np
from ase import Atoms
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.optimize import BFGS
from ase.parallel import broadcast, world
from ase.units import Rydberg

try:
    from ase.filters import FrechetCellFilter

    CellFilter = partial(FrechetCellFilter, exp_cell_factor=1.0)  # strains as such, as they are with the other
except ImportError:  # before ASE 3.23
    from ase.constraints import ExpCellFilter as CellFilter

ROUND = 8  # steps after which strains count from the cell as it is: far from it, the older filter's forces are not the energy's
BULK, SHEAR = 2.0, 1.2  # moduli in eV/Å^3, 320 and 190 GPa: a refractory boride's, roughly; softer crystals take shorter first steps
FINISHED = "finished"
STATIC = "static"  # name of the last calculation of a folder
GEOMETRY, HESSIAN = "geometry.json", "hessian.json"
_PRIVATE = re.compile(r"^(\s*(?:User:|CWD:|Pid:|OMP_NUM_THREADS:|Writing output data file)).*$", re.MULTILINE)


class OutOfTime(RuntimeError):
    """The hours of this process are over; the folder goes on another time."""


def main(arguments=None):
    """Compute what is left below a root; returns 0, also where single crystals failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roots", type=Path, nargs="+", metavar="ROOT")
    parser.add_argument("--hours", type=float, default=np.inf, help="begin no further step after so long")
    parser.add_argument("--retry", action="store_true", help="take up folders again that failed")
    options = parser.parse_args(arguments)
    end = time.time() + 3600 * options.hours
    for file in input_files(options.roots):
        if time.time() > end:
            break
        if _is_open(file.parent, options.retry) and _take(file.parent):
            try:
                if _is_open(file.parent, options.retry):  # nobody finished it in between
                    _say(f"{file.parent}: {run_folder(file.parent, end)}")
            except OutOfTime:
                _say(f"{file.parent}: to be continued")
            finally:
                _release(file.parent)
    return 0


def input_files(roots):
    """Return every input.json below the roots, in the order in which they are taken up."""
    return (file for root in roots for file in sorted(Path(root).rglob("input.json")))


def run_folder(folder, end=np.inf):
    """Relax where the settings say so, then the static calculation; returns the status that record.json holds.

    Args:
        folder: with input.json: lattice (3, 3) in Å, atomic_numbers, frac_coords and settings (see `ase_inputs`).
        end: time (s since the epoch) after which no step begins.

    Raises:
        OutOfTime: before it was finished.
    """
    given = json.loads((folder / "input.json").read_text())
    settings = given["settings"]
    atoms, before = _geometry(folder, given)
    record = {"status": FINISHED, "settings_id": given["settings_id"], "relax_converged": None, "relax_steps": before["steps"]}
    record |= {"start": before["start"], "code": settings["code"], "ase": ase.__version__, "cores": world.size, "processor": _processor()}
    seconds = {"relax": before["seconds"], "static": 0.0}
    try:
        if settings["relax"] is not None:
            record["relax_converged"], record["relax_steps"] = _relax(atoms, settings, folder, before, end, seconds)
        start = time.time()
        atoms.calc = CODES[settings["code"]](atoms, settings, settings["static"], folder, STATIC)
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        seconds["static"] = time.time() - start
        _finish(atoms)
    except OutOfTime:
        raise
    except Exception as error:  # one crystal's failure is a record, so that the others go on
        said = " ".join(str(error).replace(f"{folder.resolve()}/", "").split())
        record["status"] = f"failed: {type(error).__name__}: {said[:200]}"
    record["seconds"] = {name: round(value, 1) for name, value in seconds.items()}
    if world.rank == 0:
        for file in folder.glob("*.txt"):
            _pack(file)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        _write(record, folder / "record.json")
    world.barrier()
    return record["status"]


def gpaw(atoms, settings, stage, folder, name):
    """Plane waves and projector-augmented waves; k-points by density, Gamma among them.

    A relaxation keeps the number that its first cell has: counted anew in each, as GPAW does with a density, the energy jumps where an
    axis is at the edge between two numbers, and the relaxation never ends. Eigensolver and mixer decide the way and not the end: with
    these a boride of eight atoms took 17 s where the defaults took 29, to the same 1e-6 eV.
    """
    from gpaw import GPAW, PW, FermiDirac

    points = {"density": stage["k_density"]}
    if name != STATIC:
        points = {"size": [int(n) for n in kptdensity2monkhorstpack(atoms, stage["k_density"], even=False)]}
    return GPAW(
        mode=PW(stage["cutoff_ev"]),
        xc=settings["functional"],
        kpts={**points, "gamma": True},
        occupations=FermiDirac(settings["smearing_ev"]),
        convergence={"energy": settings["energy_ev_per_electron"]},
        eigensolver={"name": "dav", "niter": 1},
        mixer={"beta": 0.2, "nmaxold": 5, "weight": 50},
        spinpol=False,
        txt=str(folder / f"{name}.txt"),
    )


def espresso(atoms, settings, stage, folder, name):
    """Quantum ESPRESSO with the pseudopotentials that the settings name, from $ESPRESSO_PSEUDO; the output is moved to <name>.txt."""
    from ase.calculators.espresso import Espresso

    pseudo = os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo")
    command = os.environ.get("ESPRESSO_COMMAND", "pw.x")
    scratch = folder / "scratch"
    system = {"ecutwfc": stage["cutoff_ev"] / Rydberg, "ecutrho": 8 * stage["cutoff_ev"] / Rydberg}
    system |= {"occupations": "smearing", "smearing": "fermi-dirac", "degauss": settings["smearing_ev"] / Rydberg}
    system |= {"input_dft": settings["functional"]}
    control = {"tprnfor": True, "tstress": True, "pseudo_dir": pseudo, "outdir": "wavefunctions"}  # from the scratch on
    electrons = {"conv_thr": settings["energy_ev_per_electron"] / Rydberg}
    how = {
        "input_data": {"control": control, "system": system, "electrons": electrons},
        "pseudopotentials": settings["pseudopotentials"],
        "kpts": tuple(int(n) for n in kptdensity2monkhorstpack(atoms, stage["k_density"], even=False)),
    }
    try:
        from ase.calculators.espresso import EspressoProfile

        how |= {"profile": EspressoProfile(command=command, pseudo_dir=pseudo), "directory": str(scratch)}
        how["input_data"]["control"].pop("pseudo_dir")
        prefix = "espresso"
    except ImportError:  # before ASE 3.23
        prefix = name
        how |= {"command": f"{command} -in PREFIX.pwi > PREFIX.pwo", "label": f"{scratch}/{name}"}

    class Kept(Espresso):
        """Whose every output is added to the one file of its stage."""

        def calculate(self, *arguments, **options):
            try:
                super().calculate(*arguments, **options)
            finally:  # what it said before it failed is wanted most
                said = scratch / f"{prefix}.pwo"
                with open(folder / f"{name}.txt", "a") as out:
                    out.write(said.read_text(errors="replace") if said.exists() else "")

    return Kept(**how)


CODES = {"gpaw": gpaw, "espresso": espresso}


def _relax(atoms, settings, folder, before, end, seconds):
    """Converged or not, and steps, those of earlier starts among them."""
    stage, started = settings["relax"], time.time()
    count = len(list(folder.glob("relax-*.txt*")))
    atoms.calc = CODES[settings["code"]](atoms, settings, stage, folder, f"relax-{count}")
    steps = before["steps"]

    def keep():
        seconds["relax"] = before["seconds"] + time.time() - started
        kept = {
            "cell": atoms.cell.tolist(),
            "frac_coords": atoms.get_scaled_positions().tolist(),
            "steps": steps + optimiser.nsteps,
            "seconds": seconds["relax"],
            "start": before["start"],
        }
        if world.rank == 0:
            _write(kept, folder / GEOMETRY)
        if broadcast(time.time() > end):
            raise OutOfTime

    hessian, converged = None, False
    while not converged and steps < stage["max_steps"]:
        optimiser = BFGS(CellFilter(atoms), logfile=str(folder / "relax.log"), maxstep=0.1)
        optimiser.H0 = _first_hessian(atoms, folder, optimiser.H0) if hessian is None else hessian
        optimiser.attach(keep, 1)
        converged = optimiser.run(fmax=stage["fmax"], steps=min(ROUND, stage["max_steps"] - steps))
        steps += optimiser.nsteps
        hessian = optimiser.H
    _finish(atoms)
    if world.rank == 0:
        (folder / HESSIAN).unlink(missing_ok=True)
    return bool(converged), steps


def _first_hessian(atoms, folder, plain):
    """That of `prerelax`, or BFGS's one stiffness for all, which is too soft for a cell: it would swing over; there Hooke's law."""
    if (folder / HESSIAN).exists():
        return np.array(json.loads((folder / HESSIAN).read_text()))
    isotropic = np.eye(3).ravel()
    hooke = 2 * SHEAR * np.eye(9) + (BULK - 2 * SHEAR / 3) * np.outer(isotropic, isotropic)
    plain[-9:, -9:] = atoms.get_volume() * hooke
    return plain


def _geometry(folder, given):
    """The atoms to go on from, the steps and seconds spent on them, and what they started from: the input, or a potential's minimum."""
    last = folder / GEOMETRY
    kept = json.loads(last.read_text()) if last.exists() else {"cell": given["lattice"], "frac_coords": given["frac_coords"]}
    atoms = Atoms(numbers=given["atomic_numbers"], cell=kept["cell"], scaled_positions=kept["frac_coords"], pbc=True)
    return atoms, {"steps": kept.get("steps", 0), "seconds": kept.get("seconds", 0.0), "start": kept.get("start", "input")}


def _finish(atoms):
    """Let the code write the end of its output, as GPAW does when nothing holds it any more."""
    atoms.calc = None
    gc.collect()


def _pack(file):
    text = _PRIVATE.sub(r"\1 -", file.read_text(errors="replace"))
    with open(f"{file}.gz", "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
        out.write(text.encode())
    file.unlink()


def _is_open(folder, retry):
    record = folder / "record.json"
    if not record.exists():
        return True
    return retry and json.loads(record.read_text())["status"] != FINISHED


def _take(folder):
    """Whether this process has the folder now: no other one that is alive holds it."""
    mine = False
    if world.rank == 0:
        lock = folder / "running"
        with open(lock, "a+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # two that start at once would both find the holder dead
            handle.seek(0)
            stale = not lock.exists() or os.fstat(handle.fileno()).st_ino != lock.stat().st_ino  # its holder has just let go
            if not stale and not _alive(handle.read()):
                handle.truncate(0)
                handle.write(f"{os.uname().nodename} {os.getpid()}")
                mine = True
    return broadcast(mine)


def _alive(holder):
    """Of another machine it cannot be known: taken for alive. Nobody is not."""
    node, _, process = holder.partition(" ")
    if node != os.uname().nodename or not process.isdigit():
        return bool(process)
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _release(folder):
    if world.rank == 0:
        (folder / "running").unlink(missing_ok=True)


def _processor():
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1) if found else "unknown"


def _write(content, path):
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def _say(text):
    if world.rank == 0:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
