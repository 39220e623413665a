"""Distil prototypes from any tables of crystals into one file."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crystalgen.baselines.distilled.classes import find_classes
from crystalgen.baselines.distilled.prototypes import DistilledPrototypes, distil
from crystalgen.baselines.distilled.store import save_prototypes
from crystalgen.baselines.retrieval.fit_vectors import fit_vectors
from crystalgen.baselines.retrieval.templates import Templates
from crystalgen.crystals import CrystalTableError
from crystalgen.datasets.sources import load_source

_LOG = logging.getLogger(__name__)


def distil_files(
    sources: Sequence[Path], without: Sequence[Path], out: Path, min_members: int = 3, workers: int = 2
) -> DistilledPrototypes:
    """Distil prototypes from crystals and write them.

    Args:
        sources: files or folders of crystals (see `datasets.sources.load_source`), all splits.
        without: the same; crystals of a formula that one of these has outside its training split are left out, so that
            they can be judged on.
        out: a new or earlier .safetensors file.
        min_members: crystals that share a prototype, at least.
        workers: processes.

    Raises:
        CrystalTableError: nothing is left.
    """
    table = pd.concat([load_source(path) for path in sources], ignore_index=True)
    kept = table[~table["reduced_formula"].isin(judged_formulas(without))].reset_index(drop=True)
    if kept.empty:
        raise CrystalTableError(f"{', '.join(map(str, sources))}: no crystal is left of {len(table)}; expected some to distil")
    kept = kept.assign(
        id=[f"{name}-{row}" if twice else name for row, (name, twice) in enumerate(zip(kept["id"], kept["id"].duplicated(), strict=True))]
    )
    _LOG.info("%d crystals, %d left out", len(kept), len(table) - len(kept))
    templates = Templates(kept, workers=workers)
    _LOG.info("%d stoichiometries compared", len(templates.groups))
    vectors = fit_vectors(templates)
    classes = find_classes(templates, min_members, workers)
    found = distil(templates, vectors, classes)
    facts = {
        "sources": ", ".join(path.name for path in sources),
        "crystals": str(len(kept)),
        "members": str(sum(p.members for p in found.prototypes)),
    }
    save_prototypes(found, out, facts | ({"without the judged formulas of": ", ".join(path.name for path in without)} if without else {}))
    return found


def judged_formulas(tables: Sequence[Path]) -> set[str]:
    """Return the reduced formulas of crystals that are not in the training split of tables; all of a table without splits."""
    found: set[str] = set()
    for path in tables:
        table = load_source(path)
        found |= set(table.loc[table["split"] != "train", "reduced_formula"])
    return found
