"""Ask every kind of model for every space group: what was asked, what spglib finds, how exact the operations are, and what it costs.

`python benchmarks/symmetry.py [--out FOLDER] [--groups 1-230] [--compositions 2] [--kinds NAME ...]`. Networks are as they are built,
untrained: what a space group holds does not depend on weights, and noise is the harder case. kinds.csv has a row for each kind, and
groups.csv one for each request: what spglib finds at 0.01 Å for each kind (0: nothing), and the largest misfit. What they have of other
kinds stays. `--trained` adds to kinds.csv the shipped UniMat of MP-20, of those requests whose atoms its table holds.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter

from crystalgen.chemistry.orbits import Filling, fillings
from crystalgen.chemistry.spacegroups import space_group_number
from crystalgen.crystals import from_columns
from crystalgen.generative.checkpoint import Model
from crystalgen.generative.jobs import load_data
from crystalgen.generative.settings import Model as AnyModel
from crystalgen.represent.generate import generate_for_conditions
from crystalgen.represent.scaffold import Scaffold, filled, misfit
from crystalgen.represent.symmetric import sample_scaffolds
from crystalgen.represent.tensors import matrix_tensors, save_tensors, unimat_tensors
from crystalgen.utils import paths
from crystalgen.utils.elements import SYMBOLS

ELEMENTS = (22, 13, 8)
COUNTS = [  # of atoms of up to three species, tried in this order for a composition that a group can hold
    (1, 1), (1, 2), (2, 2), (1, 3), (1, 1, 3), (2, 3), (2, 4), (4, 4), (3, 3), (2, 6), (3, 6), (4, 6), (4, 8), (2, 2, 6), (6, 6), (6, 8),
    (8, 8), (3, 3, 3), (4, 4, 4), (4, 4, 8), (8, 12), (2, 8), (4, 12), (6, 12), (8, 16), (12, 12), (12, 16), (8, 24), (12, 24), (16, 24),
    (24, 24), (16, 32), (24, 48), (48,), (24,),
]  # fmt: skip
_NOISE = 0.1  # of weights
BATCH = 32  # crystals of a kind that are drawn at a time
_KIND = {"training": {"steps": 1}}
_ROWS = {"name": "rows", "channels": 32, "blocks": 2, "heads": 2}
_PLACES = {"name": "places", "token": "element", "channels": 32, "blocks": 2, "heads": 2}
KINDS = {
    "matrix flow, uniform noise": {"net": "lean", "objective": {"name": "flow"}},
    "matrix flow, normal noise": {"net": "lean", "objective": {"name": "flow", "prior": "normal", "mean": 0.5, "std": 0.2887}},
    "matrix flow, wrapped": {"net": _ROWS, "objective": {"name": "flow", "wrapped": True}},
    "matrix diffusion, DDPM": {"net": "lean", "objective": "diffusion", "sampler": "ddpm"},
    "matrix diffusion, DDIM": {"net": "lean", "objective": "diffusion", "sampler": "ddim"},
    "matrix end point": {"net": _ROWS, "objective": {"name": "endpoint"}},
    "matrix bins": {"net": _ROWS, "objective": {"name": "bins"}},
    "matrix masked, rows": {"net": _ROWS, "objective": {"name": "masked"}, "sampler": "unmask"},
    "matrix masked, values": {"net": _ROWS, "objective": {"name": "masked", "unit": "value"}, "sampler": "unmask"},
    "UniMat diffusion, token": {"net": _PLACES, "objective": "diffusion", "sampler": "ddim",
                                "input": {"cell": "token", "composition": "exact"}},
    "UniMat diffusion, channels": {"net": "demo", "objective": "diffusion", "sampler": "ddim", "input": {"composition": "exact"}},
    "UniMat diffusion, elements given": {"net": _PLACES, "objective": "diffusion", "sampler": "ddpm",
                                         "input": {"cell": "token", "composition": "type"}},
    "UniMat diffusion, Cartesian": {"net": _PLACES, "objective": "diffusion", "sampler": "ddim",
                                    "input": {"cell": "token", "composition": "exact", "coordinates": "cartesian"}},
    "UniMat flow": {"net": _PLACES, "objective": {"name": "flow"}, "input": {"cell": "token", "composition": "exact"}},
}  # fmt: skip
TRAINED = "UniMat diffusion, token, trained on MP-20"
_DIFFUSION = {"matrix": {"name": "diffusion", "mean": 0.5, "std": 0.2887, "clip": 4.0}, "unimat": {"name": "diffusion", "clip": 1.0}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=paths.REPORTS / "symmetry")
    parser.add_argument("--groups", default="1-230", help="first and last")
    parser.add_argument("--compositions", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--trained", action="store_true")
    options = parser.parse_args()
    first, last = map(int, options.groups.split("-"))
    asked = [found for group in range(first, last + 1) for found in requests(group, options.compositions)]
    print(f"{len(asked)} requests of {len({group for group, _, _ in asked})} space groups", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [] if options.trained else options.kinds
    rows, groups = begun(options.out, pd.DataFrame(named(asked)), [*kinds, TRAINED] if options.trained else kinds)
    if options.trained:
        rows.append(trained(asked))
        print(rows[-1])
        pd.DataFrame(rows).to_csv(options.out / "kinds.csv", index=False, lineterminator="\n")
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            row, groups[kind], misfits = judged(kind, untrained(kind, asked, Path(folder)), asked, options.steps)
            groups["misfit"] = np.fmax(misfits, groups.pop("misfit"))
            rows.append(row)
            print(row, flush=True)
            pd.DataFrame(rows).to_csv(options.out / "kinds.csv", index=False, lineterminator="\n")
            groups.to_csv(options.out / "groups.csv", index=False, lineterminator="\n", float_format="%.1e")


def begun(folder: Path, groups: pd.DataFrame, kinds: list[str]) -> tuple[list[dict], pd.DataFrame]:
    """Return what the folder has of other kinds, where that was of the same requests."""
    if not (folder / "groups.csv").is_file():
        return [], groups
    old = pd.read_csv(folder / "groups.csv")
    if not old[["asked", "composition", "positions"]].equals(groups[["asked", "composition", "positions"]]):
        return [], groups
    return [row for row in pd.read_csv(folder / "kinds.csv").to_dict("records") if row["kind"] not in kinds], old


def named(asked: list[tuple[int, np.ndarray, Filling]]) -> list[dict]:
    """Return the columns of groups.csv that say what was asked."""
    rows = []
    for group, numbers, filling in asked:
        kinds, counts = np.unique(numbers, return_counts=True)
        formula = "".join(f"{SYMBOLS[kind - 1]}{count}" for kind, count in zip(kinds[::-1], counts[::-1], strict=True))
        rows.append({"asked": group, "composition": formula, "positions": str(filling), "misfit": 0.0})
    return rows


def requests(group: int, count: int) -> list[tuple[int, np.ndarray, Filling]]:
    """Return the first compositions that a group can hold, with a filling drawn for each."""
    found = []
    for counts in COUNTS:
        numbers = np.repeat(ELEMENTS[: len(counts)], counts)
        if len(found) < count and (ways := fillings(numbers, group, most=2)):
            found.append((group, numbers, ways[np.random.default_rng(group).integers(len(ways))]))
    return found


def untrained(kind: str, asked: list[tuple[int, np.ndarray, Filling]], folder: Path) -> Model:
    """Return a model of a kind whose training crystals would be random ones of all requests."""
    spec = dict(KINDS[kind])
    representation = "unimat" if "input" in spec else "matrix"
    path = folder / f"{representation}.safetensors"
    if not path.exists():
        made = [filled(*request(one), np.random.default_rng(0)) for one in asked]
        table = from_columns([s.lattice for s in made], [s.numbers for s in made], [s.coords for s in made], "random",
                             [str(i) for i in range(len(made))], space_group=pd.array([s.space_group for s in made], dtype="Int16"),
                             split=["train"] * len(made), formation_energy_per_atom=np.zeros(len(made)))  # fmt: skip
        save_tensors((unimat_tensors if representation == "unimat" else matrix_tensors)(table), path)
    objective = spec.pop("objective")
    sampling = {"kind": {"sampler": spec.pop("sampler", "euler"), "steps": 8}}
    objective = _DIFFUSION[representation] if objective == "diffusion" else objective
    settings = TypeAdapter(AnyModel).validate_python(
        _KIND | spec | {"representation": representation, "objective": objective, "sampling": sampling}
    )
    torch.manual_seed(0)
    codec = load_data(settings, path).codec
    net = settings.build_net(codec).eval()
    for parameter in net.parameters():  # some layers are built to say nothing
        parameter.data += _NOISE * torch.randn_like(parameter)
    return Model(settings, codec, {0: net})


def request(one: tuple[int, np.ndarray, Filling]) -> tuple[int, Filling]:
    """Return what `filled` takes of a request."""
    return one[0], one[2]


def judged(kind: str, model: Model, asked: list[tuple[int, np.ndarray, Filling]], steps: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return a row of the table, counts by what spglib finds at 0.01 Å and the time beside no symmetry; and what it finds of each request.

    The last two are space groups, 0 for none and -1 for a crystal that was not decoded, and misfits.
    """
    sampling = model.settings.sampling["kind"].model_copy(update={"steps": steps, "temperature": 1.0})
    scaffolds = [filled(*request(one), np.random.default_rng(1)) for one in asked]
    counts, free, kept = {}, 0.0, 0.0
    groups, misfits = np.full(len(asked), -1), np.full(len(asked), np.nan)
    order = np.argsort([len(s.numbers) for s in scaffolds], kind="stable")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        some = [scaffolds[i] for i in rows]
        told = pd.DataFrame({"atomic_numbers": [s.numbers for s in some], "space_group": [s.space_group for s in some],
                             "formation_energy_per_atom": 0.0, "asked": rows})  # fmt: skip
        begin = time.process_time()
        generate_for_conditions(model, told, sampling, "kind")
        middle = time.process_time()
        made, _ = generate_for_conditions(model, told, sampling, "kind", scaffolds=some)
        free, kept = free + middle - begin, kept + time.process_time() - middle
        for lattice, coords, place in zip(made["lattice"], made["frac_coords"], made["asked"], strict=True):
            verdict, groups[place], misfits[place] = obtained(lattice, coords, scaffolds[place])
            counts[verdict] = counts.get(verdict, 0) + 1
    shares = {name: counts.get(name, 0) for name in ("asked", "supergroup", "coincide", "other")}
    row = {"kind": kind, "n": len(asked), **shares, "lost": len(asked) - sum(counts.values()), "misfit": float(f"{np.nanmax(misfits):.2g}"),
           "seconds": round(kept, 1), "cost": round(kept / free, 2)}  # fmt: skip
    return row, groups, misfits


def trained(asked: list[tuple[int, np.ndarray, Filling]]) -> dict:
    """Return the row of the shipped UniMat of MP-20, which is told nothing and sampled as its own row is."""
    model = Model.load(paths.SHIPPED / "mp_20_unimat" / "models" / "unimat")
    held = [one for one in asked if np.bincount(one[1]).max() <= model.codec.layout.grid[0]]
    scaffolds = sorted((filled(*request(one), np.random.default_rng(1)) for one in held), key=lambda s: len(s.numbers))
    counts, misfits, begin = Counter(), [], time.process_time()
    for start in range(0, len(scaffolds), BATCH):
        some = scaffolds[start : start + BATCH]
        made = sample_scaffolds(model, {}, model.settings.sampling["unimat"], next(iter(model.nets)), some)
        for lattice, coords, scaffold in zip(made[0], made[2], some, strict=True):
            verdict, _, error = obtained(lattice, coords, scaffold)
            counts[verdict] += 1
            misfits.append(error)
    shares = {name: counts[name] for name in ("asked", "supergroup", "coincide", "other")}
    return {"kind": TRAINED, "n": len(held), **shares, "lost": 0, "misfit": float(f"{max(misfits):.2g}"),
            "seconds": round(time.process_time() - begin, 1), "cost": None}  # fmt: skip


def obtained(lattice: np.ndarray, coords: np.ndarray, scaffold: Scaffold) -> tuple[str, int, float]:
    """Say what spglib finds: the group asked for; another that holds its operations too; nothing, for atoms coincide; or neither.

    With the group that it finds, 0 for none, and the misfit.
    """
    seen = -coords if scaffold.mirrored else coords
    error = misfit(lattice, seen, scaffold)
    number = space_group_number((lattice, coords, scaffold.numbers), 0.01) or 0
    other = "coincide" if not number else ("supergroup" if error < 1e-5 else "other")
    return "asked" if number == scaffold.space_group else other, number, error


if __name__ == "__main__":
    main()
