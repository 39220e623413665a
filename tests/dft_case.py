"""Outputs of VASP and Quantum ESPRESSO, as short as they are read: each text is built of what a run was asked for and what it found."""

from pathlib import Path

from crystalgen.dft.find import find_calculations
from crystalgen.dft.ingest import read_calculation

PBE = "PBE\n                           (   1   4   3   4   0   0   0)"
FERMI = "Fermi-Dirac smearing, width (Ry)=  0.0073"
PAW = "B.pbe-n-kjpaw_psl.1.0.0.UPF"
_PAW = {"Cs": ("Cs_sv", 9), "Cl": ("Cl", 7), "Fe": ("Fe", 8), "O": ("O", 6)}


def read_folder(folder: Path, limit: float = 20) -> dict:
    """Return the row of the one calculation below a folder."""
    (files,) = find_calculations(folder).values()
    return read_calculation({kind: str(path) for kind, path in files.items()}, limit)


def vasprun(energies=(-6.1, -6.3, -6.4), forces=0.004, tags=None, k=4, a=4.0, elements=("Cs", "Cl"), potentials=(), generation="Gamma",
            electronic=8, fixed=False) -> str:  # fmt: skip
    """Return a vasprun.xml of a relaxation of a cell of CsCl's type.

    Args:
        energies: of the ionic steps, eV.
        forces: on the first atom in the last step, eV/Å.
        tags: of INCAR, beside those of a relaxation by forces.
        k: points along each axis.
        a: Å.
        potentials: titles; those of `_PAW` without.
        electronic: steps in each ionic step; the last two have one energy.
        fixed: neither atom may move.
    """
    given = {"NSW": 50, "IBRION": 2, "EDIFFG": -0.01, "ENMAX": 520.0, "NELM": 60, "EDIFF": 1e-5, "ISPIN": 1, "GGA": "PE"} | (tags or {})
    titles = potentials or [f"PAW_PBE {_PAW[name][0]} 06Sep2000" for name in elements]
    rows = zip(elements, titles, strict=True)
    types = "".join(f"<rc><c>1</c><c>{name}</c><c>1.0</c><c>{_PAW[name][1]}.0</c><c> {title} </c></rc>" for name, title in rows)
    atoms = "".join(f"<rc><c>{name} </c><c> {place + 1}</c></rc>" for place, name in enumerate(elements))
    array = '<array name="{}"><dimension dim="1">x</dimension><field type="string">x</field><set>{}</set></array>'
    basis = "".join(f"<v> {' '.join(f'{a if i == j else 0:.8f}' for j in range(3))} </v>" for i in range(3))
    selective = '<varray type="logical" name="selective">' + "<v type='logical'> F F F </v>" * 2 + "</varray>" if fixed else ""
    positions = '<varray name="positions"><v> 0.0 0.0 0.0 </v><v> 0.5 0.5 0.5 </v></varray>'
    place = f'<crystal><varray name="basis">{basis}</varray></crystal>{positions}{selective}'
    mesh = f'<generation param="{generation}"><v type="int" name="divisions"> {k} {k} {k} </v></generation>'
    steps = "".join(_ionic_step(energy, forces, electronic, place) for energy in energies)
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<generator><i name="program" type="string">vasp </i>'
        f'<i name="version" type="string">6.3.2 </i></generator>\n<incar>{_tags(tags or {})}</incar>\n<kpoints>{mesh}'
        '<varray name="kpointlist"><v> 0.0 0.0 0.0 </v></varray><varray name="weights"><v> 1.0 </v></varray></kpoints>\n'
        f"<parameters>{_tags(given)}</parameters>\n<atominfo>{array.format('atoms', atoms)}{array.format('atomtypes', types)}</atominfo>\n"
        f'<structure name="initialpos">{place}</structure>\n{steps}<structure name="finalpos">{place}</structure>\n</modeling>\n'
    )


def outcar(
    energies=(-6.1, -6.3, -6.4), before_end=" reached required accuracy - stopping structural energy minimisation\n", end=True
) -> str:
    """Return an OUTCAR of that run."""
    steps = "".join(f"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  free  energy   TOTEN  = {energy:18.8f} eV\n" for energy in energies)
    last = " General timing and accounting informations for this job:\n Total CPU time used (sec):  10.0\n" if end else ""
    return f" vasp.6.3.2 27Jun22 (build by hand) complex\n executed on LinuxIFC\n{steps}{before_end}{last}"


def pwscf(version="7.2", functional=PBE, scf=1, after_scf="", end="", head="", electrons=12.0, smearing=FERMI, potential=PAW, spin="",
          weights=(1 / 32, 3 / 32, 28 / 32), noise="", done=True) -> str:  # fmt: skip
    """Return an output of pw.x for four atoms of boron.

    Args:
        functional: what follows "Exchange-correlation=".
        scf: self-consistent calculations.
        after_scf: of each.
        end: before the last lines.
        head: further lines before the first iteration.
        spin: lines after each energy.
        weights: of the k-points that are listed.
        noise: before the first line.
        done: ends as pw.x does.
    """
    points = "".join(
        f"        k({i + 1:5d}) = (   0.0000000   0.0000000   {i / 10:.7f}), wk = {2 * w:.7f}\n" for i, w in enumerate(weights)
    )
    step = (
        "\n     Self-consistent Calculation\n\n     iteration #  1     ecut=    49.98 Ry     beta= 0.70\n\n"
        "     End of self-consistent calculation\n\n     the Fermi energy is    12.3118 ev\n\n"
        "!    total energy              =     -45.75518713 Ry\n"
        f"     smearing contrib. (-TS)   =      -0.00051558 Ry\n{spin}     convergence has been achieved in   4 iterations\n\n"
        "     Forces acting on atoms (cartesian axes, Ry/au):\n\n"
        + "".join(
            f"     atom    {i} type  1   force =     0.00000000   {f:.8f}    0.00000000\n"
            for i, f in enumerate((-0.04, 0.04, -0.04, 0.04), 1)
        )
        + f"\n     Total force =     0.161402     Total SCF correction =     0.000369\n{after_scf}"
    )
    return (
        f"{noise}\n     Program PWSCF v.{version} starts on 26Nov2026 at  1:24:40 \n\n     bravais-lattice index     =            0\n"
        "     lattice parameter (alat)  =       5.7469  a.u.\n     unit-cell volume          =     172.8650 (a.u.)^3\n"
        "     number of atoms/cell      =            4\n     number of atomic types    =            1\n"
        f"     number of electrons       =        {electrons:.2f}\n     kinetic-energy cutoff     =      49.9791  Ry\n"
        f"     charge density cutoff     =     399.8326  Ry\n     Exchange-correlation= {functional}\n\n"
        "     celldm(1)=   5.746927  celldm(2)=   0.000000  celldm(3)=   0.000000\n\n"
        "     crystal axes: (cart. coord. in units of alat)\n               a(1) = (   0.484531  -0.874774  -0.000000 )\n"
        "               a(2) = (   0.484531   0.874774   0.000000 )\n               a(3) = (  -0.000000  -0.000000   1.074366 )\n\n"
        f"     PseudoPot. # 1 for B  read from file:\n     ./{potential}\n     MD5 check sum: 8c825a5969375aca5c2c6ad5945b3059\n\n"
        "     atomic species   valence    mass     pseudopotential\n        B              3.00    10.81000     B ( 1.00)\n\n"
        f"{head}      8 Sym. Ops., with inversion, found\n\n   Cartesian axes\n\n"
        "     site n.     atom                  positions (alat units)\n"
        "         1           B   tau(   1) = (   0.4845312  -0.6018569   0.0963394  )\n"
        "         2           B   tau(   2) = (   0.4845312   0.6018569   0.9780271  )\n"
        "         3           B   tau(   3) = (   0.4845312   0.2729171   0.4408438  )\n"
        "         4           B   tau(   4) = (   0.4845312  -0.2729171   0.6335226  )\n\n"
        f"     number of k points= {len(weights):5d}  {smearing}\n                       cart. coord. in units 2pi/alat\n{points}\n"
        + step * scf
        + end
        + ("\n     PWSCF        :     11.80s CPU     13.74s WALL\n\n=----=\n   JOB DONE.\n=----=\n" if done else "")
    )


def _tags(tags: dict) -> str:
    kinds = {bool: "logical", int: "int", str: "string"}
    found = []
    for name, value in tags.items():
        many = isinstance(value, list)
        kind = kinds.get(type(value[0] if many else value))
        text = " ".join("T" if v is True else "F" if v is False else str(v) for v in (value if many else [value]))
        found.append(
            f'<{"v" if many else "i"}{f" type={chr(34)}{kind}{chr(34)}" if kind else ""} name="{name}"> {text} </{"v" if many else "i"}>'
        )
    return "".join(found)


def _ionic_step(energy: float, forces: float, electronic: int, place: str) -> str:
    def energies(value):
        names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        return f"<energy>{''.join(f'<i name={chr(34)}{name}{chr(34)}> {value:.8f} </i>' for name in names)}</energy>"

    loop = "".join(f"<scstep>{energies(energy + 0.1 * max(electronic - 2 - i, 0))}</scstep>" for i in range(electronic))
    vectors = f'<varray name="forces"><v> {forces} 0.0 0.0 </v><v> {-forces} 0.0 0.0 </v></varray>'
    return f"<calculation>\n{loop}<structure>{place}</structure>{vectors}{energies(energy)}</calculation>\n"
