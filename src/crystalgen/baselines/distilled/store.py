"""Distilled prototypes as one compact file of plain arrays."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from crystalgen.baselines.distilled.occupants import Occupants
from crystalgen.baselines.distilled.prototypes import DistilledPrototypes, Prototype
from crystalgen.baselines.distilled.shape import Shape
from crystalgen.baselines.retrieval.element_vectors import FittedVectors
from crystalgen.baselines.stoichiometry import permutations_of
from crystalgen.utils import paths

# Fields of a prototype, its shape and its occupants: how they are stored, and their shape in terms of the sizes in `_sizes`. Whole
# numbers of a unit where one is named in `_UNITS`: small, and exact enough for a symprec of 0.001 Å.
_FIELDS = {
    "counts": (np.int16, ("s",)),
    "arrangements": (np.int32, ("p",)),
    "lattice": (np.float32, (3, 3)),
    "coords": (np.uint16, ("n", 3)),
    "roles": (np.int8, ("n",)),
    "modes": (np.int16, ("k", "d")),
    "slopes": (np.float16, ("k", "f")),
    "center": (np.float16, ("f",)),
    "scale": (np.float16, ("f",)),
    "spread": (np.float16, ("k",)),
    "places": (np.int8, ("o", "v")),
    "numbers": (np.int32, ("o",)),
    "spreads": (np.float16, ("o",)),
    "rest": (np.float16, ("o", "k")),
}
_UNITS = {"coords": 1 / 65520, "modes": 1 / 30000, "places": 0.025}  # thirds and eighths of a cell are exact; modes have a norm of 1
_SIZES = ("s", "p", "n", "k", "d", "f", "o", "v")


def shipped_prototypes() -> DistilledPrototypes:
    """Read the prototypes that come with the package, of Materials Project structures of at most 60 atoms (CC BY 4.0); see NOTICE."""
    return load_prototypes(paths.REFERENCE / "prototypes.safetensors")


def save_prototypes(distilled: DistilledPrototypes, path: Path, facts: dict[str, str] | None = None) -> None:
    """Write a safetensors file; `facts` (source, licence, what was left out) are kept in it."""
    prototypes = distilled.prototypes
    tensors = {name: _stored(name, np.concatenate([_field(p, name).ravel() for p in prototypes])) for name in _FIELDS}
    tensors["sizes"] = np.array([_sizes(p) for p in prototypes], dtype=np.int32)
    tensors["space_groups"] = np.array([p.space_group for p in prototypes], dtype=np.int16)
    tensors["members"] = np.array([p.members for p in prototypes], dtype=np.int32)
    tensors["log_volumes"] = np.array([p.shape.log_volume for p in prototypes], dtype=np.float32)
    tensors |= {"vectors": distilled.vectors.vectors, "weights": distilled.vectors.weights, "volumes": distilled.volumes}
    tensors["elements"] = np.asarray(distilled.elements, dtype=np.int16)
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path, {"facts": json.dumps(facts or {})})


def load_prototypes(path: Path) -> DistilledPrototypes:
    """Read what `save_prototypes` wrote.

    Raises:
        ValueError: it is no such file; naming it and what is wrong.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        starts, prototypes = dict.fromkeys(_FIELDS, 0), []
        for place, values in enumerate(tensors["sizes"]):
            sizes = dict(zip(_SIZES, values.tolist(), strict=True))
            fields = {}
            for name, (kind, dims) in _FIELDS.items():
                shape = [sizes.get(dim, dim) for dim in dims]
                end = starts[name] + int(np.prod(shape))
                values = tensors[name][starts[name] : end].reshape(shape)
                real = name in _UNITS or np.issubdtype(kind, np.floating)
                fields[name], starts[name] = values.astype(float if real else int) * _UNITS.get(name, 1), end
            prototypes.append(_prototype(fields, *(tensors[name][place] for name in ("space_groups", "members", "log_volumes"))))
        vectors = FittedVectors(tensors["vectors"], tensors["weights"])
        return DistilledPrototypes(prototypes, vectors, tensors["volumes"], tensors["elements"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: no file of distilled prototypes ({error})") from None


def _stored(name: str, values: np.ndarray) -> np.ndarray:
    """Return a field's values as they are stored."""
    kind = _FIELDS[name][0]
    if name not in _UNITS:
        return values.astype(kind)
    whole = np.round((np.mod(values, 1) if name == "coords" else values) / _UNITS[name])
    return np.clip(whole, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def _field(prototype: Prototype, name: str) -> np.ndarray:
    return next(getattr(part, name) for part in (prototype, prototype.shape, prototype.occupants) if hasattr(part, name))


def _sizes(prototype: Prototype) -> tuple[int, ...]:
    shape, occupants = prototype.shape, prototype.occupants
    widths = shape.coords.size + 7, len(shape.center), *occupants.places.shape
    return len(prototype.counts), len(prototype.arrangements), len(shape.coords), len(shape.modes), *widths


def _prototype(fields: dict[str, np.ndarray], space_group: int, members: int, log_volume: float) -> Prototype:
    shape = Shape(**{name: fields[name] for name in ("lattice", "coords", "roles", "modes", "slopes", "center", "scale", "spread")},
                  log_volume=float(log_volume))  # fmt: skip
    occupants = Occupants(*(fields[name] for name in ("places", "numbers", "spreads", "rest")))
    permutations = permutations_of(fields["counts"])
    return Prototype(int(space_group), fields["counts"], int(members), permutations, fields["arrangements"], shape, occupants)
