"""What an OUTCAR says of its run's end, of any size."""

import re
from dataclasses import dataclass
from pathlib import Path

from crystalgen.dft.rows import FailedRun
from crystalgen.dft.text import read_text

_TAIL = 64 << 20  # bytes; a step's eigenvalues may fill tens of MB
_END = "General timing and accounting informations for this job"
_VERSION = re.compile(r"^\s*vasp\.(\d+\.\d+(?:\.\d+)?)", re.MULTILINE)
_IONIC_ENERGY = re.compile(r"free  energy\s+TOTEN\s*=\s*(-?\d+\.\d+)\s*eV")  # two blanks: of a finished ionic step
_ENERGY = re.compile(r"free\s+energy\s+TOTEN\s*=\s*(-?\d+\.\d+)\s*eV")
_MAGNETISATION = re.compile(r"number of electron\s+\S+\s+magnetization\s+(-?\d+\.\d+)((?:\s+-?\d+\.\d+)*)")
_LOOP = re.compile(r"aborting loop[^\n]*")


@dataclass(frozen=True)
class Outcar:
    """Its version, and how it ended."""

    version: str
    ended: bool
    energies: list[float]  # eV; of every ionic step, the last ones of a very large file
    all_energies: list[float]  # of the electronic steps and of responses too
    reached: bool  # the optimiser's own criterion
    stopped: str  # "soft stop", "hard stop" or ""
    last_loop: str  # why the last electronic loop ended
    magnetisation: float | None  # of the cell, in Bohr magnetons; None where the run has no spin

    @classmethod
    def of(cls, path: Path) -> "Outcar":
        """Read a file.

        Raises:
            FailedRun: it cannot be read, or is no OUTCAR.
        """
        text = read_text(path, _TAIL)
        if (version := _VERSION.search(text[:200_000])) is None:
            raise FailedRun(f"{path.name}: no OUTCAR")
        stop = re.findall(r"(soft|hard) stop encountered", text)
        loops = _LOOP.findall(text)
        return cls(
            version=version[1],
            ended=_END in text,
            energies=[float(value) for value in _IONIC_ENERGY.findall(text)],
            all_energies=[float(value) for value in _ENERGY.findall(text)],
            reached="reached required accuracy" in text,
            stopped=f"{stop[-1]} stop" if stop else "",
            last_loop=loops[-1] if loops else "",
            magnetisation=_magnetisation(text),
        )


def _magnetisation(text: str) -> float | None:
    found = _MAGNETISATION.findall(text)
    if not found:
        return None
    along, further = float(found[-1][0]), [float(value) for value in found[-1][1].split()]
    return sum(value**2 for value in (along, *further)) ** 0.5 if further else along
