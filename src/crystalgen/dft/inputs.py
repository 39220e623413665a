"""Folders ready for VASP, with the settings of either paper; potentials are named, never shipped."""

import hashlib
import logging
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure
from pymatgen.io.vasp.sets import MPRelaxSet, MPStaticSet, VaspInputSet

from crystalgen.crystals import to_structures
from crystalgen.utils.files import check_empty, write_json
from crystalgen.utils.safe_names import safe_name

_LOG = logging.getLogger(__name__)
_NEWER = ("Li", "Na", "Mg", "Ge", "Ga")  # A takes a later release of these potentials, with as many valence electrons


@dataclass(frozen=True)
class Preset:
    """steps: name -> input set; incar: what differs from that set; newer: elements whose potentials are of a later release."""

    steps: dict[str, type[VaspInputSet]]
    incar: dict
    newer: tuple[str, ...] = ()


PRESETS = {
    # The Materials Project's settings with U, 520 eV, two relaxations and a static run, ferromagnetic (A app. 7)
    "A": Preset({"relax1": MPRelaxSet, "relax2": MPRelaxSet, "static": MPStaticSet}, {"ENCUT": 520}, _NEWER),
    # One relaxation at 500 eV without U (B §7.1); what it does not say is the Materials Project's
    "B": Preset({"relax": MPRelaxSet}, {"ENCUT": 500, "EDIFF": 1e-5, "EDIFFG": -1e-2, "LDAU": False}),
}


def write_inputs(table: pd.DataFrame, folder: Path, preset: str) -> Path:
    """Write `<number>-<formula>/<step>/` with INCAR, KPOINTS, POSCAR and POTCAR.spec for each crystal, run.sh and manifest.json.

    A crystal of an element without a potential is left out, which a line of the log and the manifest say; the others are numbered on.
    Hexagonal cells get Gamma-centred meshes. `run.sh` runs one crystal's steps: it joins the potentials that POTCAR.spec names from
    the user's own library, and goes on where it stopped.

    Args:
        table: crystals, in the order of their rank.
        folder: new or empty.
        preset: of `PRESETS`.

    Returns:
        the manifest, with the hash of every file.

    Raises:
        ValueError: the preset is unknown, nothing of the table can be written, or the folder holds something.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset '{preset}': expected one of {list(PRESETS)}")
    if table.empty:
        raise ValueError("no crystals to write inputs for")
    folder = Path(folder)
    check_empty(folder)
    entries, left_out = [], []
    for row, structure in zip(table.itertuples(), to_structures(table), strict=True):
        home = folder / safe_name(f"{len(entries):04d}-{row.formula}")
        try:
            symbols = _write_steps(structure, home, preset)
        except ValueError as error:
            shutil.rmtree(home, ignore_errors=True)
            left_out.append({"id": row.id, "reason": str(error)})
            _LOG.warning("left out: %s: %s", row.id, error)
            continue
        files = sorted(path for path in home.rglob("*") if path.is_file())
        hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        entries.append({"id": row.id, "formula": row.formula, "folder": home.name, "potentials": symbols, "sha256": hashes})
    if not entries:
        raise ValueError(f"nothing to write inputs for: {left_out[0]['id']}: {left_out[0]['reason']}")
    (folder / "run.sh").write_text(_SCRIPT.format(steps=" ".join(PRESETS[preset].steps), count=len(entries) - 1))
    write_json(
        {"preset": preset, "steps": list(PRESETS[preset].steps), "incar": PRESETS[preset].incar, "crystals": entries, "left_out": left_out},
        folder / "manifest.json",
    )
    return folder / "manifest.json"


def _write_steps(structure: Structure, home: Path, name: str) -> dict[str, str]:
    """Files of each step; the potential and its release by element.

    Raises:
        ValueError: the preset has no potential of an element.
    """
    symbols, preset = [], PRESETS[name]
    for step, kind in preset.steps.items():
        if missing := [symbol for symbol in structure.symbol_set if symbol not in kind.CONFIG["POTCAR"]]:
            raise ValueError(f"preset {name} has no potential of {', '.join(missing)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the potentials are not at hand: they are only named here
            options = {"sort_structure": True, "force_gamma": structure.lattice.is_hexagonal()}
            inputs = kind(structure, user_incar_settings=dict(preset.incar), **options)
            inputs.user_incar_settings["EDIFF"] = round(inputs.incar["EDIFF"], 12)  # 0.0003, not 0.00030000000000000003
            inputs.write_input(home / step, potcar_spec=True)
            symbols = inputs.potcar_symbols
    return {symbol: "later release" if symbol.split("_")[0] in preset.newer else "PBE" for symbol in symbols}


_SCRIPT = """#!/bin/bash
# One crystal a task: sbatch run.sh, or bash run.sh NUMBER. Set VASP_POTENTIALS to your folder of POTCARs (SYMBOL/POTCAR in it)
# and, where it is not `srun vasp_std`, VASP_COMMAND.
#SBATCH --job-name=crystals
#SBATCH --array=0-{count}
#SBATCH --ntasks=32
#SBATCH --time=24:00:00
set -euo pipefail
number=${{SLURM_ARRAY_TASK_ID:-${{1:?a number of a crystal}}}}
cd "${{SLURM_SUBMIT_DIR:-$(dirname "$0")}}"/$(printf "%04d" "$number")-*
before=
for step in {steps}; do
    cd "$step"
    if [ ! -e done ]; then
        if [ -n "$before" ]; then cp "../$before/CONTCAR" POSCAR; fi
        : > POTCAR
        for symbol in $(cat POTCAR.spec); do
            cat "${{VASP_POTENTIALS:?the folder of your POTCARs}}/$symbol/POTCAR" >> POTCAR
        done
        ${{VASP_COMMAND:-srun vasp_std}} > vasp.out
        test -s CONTCAR
        touch done
    fi
    before=$step
    cd ..
done
"""
