"""UniMat: between crystals and what a network sees, and a training job's data. Torch only.

Crystals are kept as lists of places, made into grids batch by batch.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from crystalgen.generative.data.augment import augment
from crystalgen.generative.data.conditions import Seen, encode_properties
from crystalgen.generative.data.files import read_tensors
from crystalgen.generative.data.format import CRYSTALS, NULL, NULL_THRESHOLD, PROPERTIES, TABLES, TRAIN
from crystalgen.generative.data.matrix import Batch, CrystalData
from crystalgen.generative.data.scales import Scales
from crystalgen.generative.data.settings import UniMatInput
from crystalgen.utils.lattice import lattices_from_parameters

CELL_STD = 1 / 3  # of scaled cells: with coordinates in [-1, 1), three deviations stay in [-1, 1]


class Layout:
    """How a network's x holds coordinates and cell.

    With cell "channels" x is (B, 9, L, H, W): coordinates, then the six cell parameters, the same at every place.
    With cell "token" x is (B, L * H * W + 2, 3): a row for each place, then the lengths and the angles, once.
    """

    def __init__(self, grid: tuple[int, int, int], cell: str):
        self.grid, self.as_token = grid, cell == "token"
        self.places = grid[0] * grid[1] * grid[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one crystal's x."""
        return (self.places + 2, 3) if self.as_token else (9, *self.grid)

    def join(self, coordinates: Tensor, cell: Tensor) -> Tensor:
        """Make x of coordinates (B, 3, L, H, W) and cell, (B, 6) or, among channels, (B, 6, L, H, W)."""
        if self.as_token:
            return torch.cat([coordinates.flatten(2).transpose(1, 2), cell.view(-1, 2, 3)], dim=1)
        if cell.dim() == 2:
            cell = cell[:, :, None, None, None].expand(-1, -1, *self.grid)
        return torch.cat([coordinates, cell], dim=1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take x apart into coordinates (B, 3, L, H, W) and cell, (B, 6) for a token, (B, 6, L, H, W) for channels."""
        if self.as_token:
            return x[:, :-2].transpose(1, 2).unflatten(2, self.grid), x[:, -2:].flatten(1)
        return x[:, :3], x[:, 3:]


class UniMatCodec:
    """Between UniMat's places and what a network sees, and what it can be asked.

    tensors: the tables of `data.format.TABLES`.
    input: what the network sees.
    """

    representation = "unimat"

    def __init__(self, tensors: dict[str, Tensor], seen: Seen, input: UniMatInput):
        self.tensors, self.seen, self.input = tensors, seen, input
        self.scales = Scales(tensors)
        self.grid = (int(tensors["depth"]), *tensors["elements"].shape)
        self.layout = Layout(self.grid, input.cell)

    @classmethod
    def of_file(cls, tensors: dict[str, Tensor], input: UniMatInput) -> "UniMatCodec":
        """Take from a file of tensors what does not belong to single crystals."""
        place, elements = tensors["place"], tensors["elements"].flatten()
        numbers = torch.where(place >= 0, elements[place % len(elements)], 0)
        seen = Seen.count(numbers, tensors["space_group"], tensors["split"], place.shape[1])
        return cls({name: tensors[name] for name in TABLES["unimat"]}, seen, input)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one crystal's x, see `Layout`."""
        return self.layout.shape

    @property
    def properties(self) -> tuple[str, ...]:
        """Tensors of the properties that the network is told."""
        return tuple(PROPERTIES[name].tensor for name in self.input.conditions)

    @property
    def used(self) -> Tensor:
        """bool (1, L, H, W), the places that have an element."""
        return (self.tensors["elements"] > 0).expand(1, *self.grid)

    def scale(self, place: Tensor, frac_coords: Tensor, cell: Tensor) -> Tensor:
        """Make x (n, ...) of atoms' places (n, A), fractional coordinates (n, A, 3) and cells (n, 6), Å and degrees."""
        grid = torch.full((len(place), self.layout.places, 3), NULL)
        crystal, atom = torch.nonzero(place >= 0, as_tuple=True)
        grid[crystal, place[crystal, atom]] = self._scaled_coordinates(frac_coords, cell)[crystal, atom]
        return self.layout.join(grid.transpose(1, 2).unflatten(2, self.grid), self.scales.standardise("cell", cell) * CELL_STD)

    def unscale(self, x: Tensor, condition: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return fractional coordinates (n, 3, L, H, W), NULL where no atom may be, and cells (n, 6), Å and degrees.

        The condition's `places`, where it has them, may hold an atom; the cell is the mean over them, or over all that
        have an element.
        """
        places = condition.get("places")
        coordinates, cell = self.layout.split(x)
        if not self.layout.as_token:
            counted = (self.used if places is None else places)[:, None].float()
            cell = (cell * counted).sum(dim=(2, 3, 4)) / counted.sum(dim=(2, 3, 4)).clamp(min=1)
        cell = self.scales.unstandardise("cell", cell / CELL_STD)
        if self.input.coordinates == "cartesian":
            positions = (coordinates.flatten(2).transpose(1, 2) * self._span() + self.tensors["cartesian_low"]).double()
            fractions = positions @ torch.linalg.pinv(torch.nan_to_num(torch.from_numpy(lattices_from_parameters(cell.numpy()))))
            fractions = (fractions % 1.0).float().transpose(1, 2).unflatten(2, self.grid)
            occupied = coordinates.mean(dim=1, keepdim=True) >= NULL_THRESHOLD
            coordinates = torch.where(occupied if places is None else occupied | places[:, None], fractions, NULL)
        return coordinates if places is None else torch.where(places[:, None], coordinates, NULL), cell

    def conditions(self, place: Tensor, properties: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode what the input names of the composition and the properties.

        Args:
            place: (n, A), the places of atoms, see `data.format`.
            properties: by column, each (n,), see `encode_properties`.

        Returns:
            `places`, bool (n, L, H, W), those that may hold an atom, where the composition is conditioned on; and the properties.
        """
        occupied, encoded = self._occupied(place), encode_properties(self.input.conditions, properties, self.scales)
        if self.input.composition == "type":
            encoded["places"] = occupied.any(dim=1, keepdim=True).expand(-1, self.grid[0], -1, -1)
        elif self.input.composition == "exact":
            encoded["places"] = occupied
        return encoded

    def check(self, numbers: Sequence[int], space_group: int | None = None, which: str = "the request") -> None:
        """Refuse what no training crystal had, see `Seen.check`, and more atoms of an element than the table has layers."""
        self.seen.check(numbers, space_group, which)
        most = int(torch.unique(torch.as_tensor(numbers), return_counts=True)[1].max())
        if most > self.grid[0]:
            raise ValueError(f"{which}: {most} atoms of one element; expected at most {self.grid[0]}, the layers of the model's table")

    def request(
        self, numbers: Sequence[Sequence[int]], properties: dict[str, Tensor], which: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Encode a request of one's own; an element's atoms take its first layers.

        Args:
            numbers: atomic numbers of each cell's atoms.
            properties: by column, each (n,); of these the network is told what its input names.
            which: what an error calls each.

        Raises:
            ValueError: see `check`.
        """
        groups = properties["space_group"].tolist() if "space_group" in self.input.conditions else [0] * len(numbers)
        place = torch.full((len(numbers), max(map(len, numbers))), -1)
        for row, atoms in enumerate(numbers):
            self.check(atoms, groups[row] or None, which[row] if which else f"condition {row}")
            place[row, : len(atoms)] = self.places(atoms)
        return self.conditions(place, properties)

    def places(self, numbers: Sequence[int]) -> Tensor:
        """Return the place of each atom of a cell, (n,); an element's atoms take its first layers, in order."""
        elements, atoms = self.tensors["elements"].flatten(), torch.as_tensor(numbers).long()
        first = torch.stack([torch.nonzero(elements == z)[0, 0] for z in atoms])
        layer = (atoms[:, None] == atoms[None, :]).tril(-1).sum(dim=1)
        return first + layer * len(elements)

    def _scaled_coordinates(self, coords: Tensor, cell: Tensor) -> Tensor:
        """(n, A, 3): fractional ones as they are; Cartesian ones brought to [0, 1] by the training set's extremes."""
        if self.input.coordinates == "fractional":
            return coords
        lattices = torch.from_numpy(lattices_from_parameters(cell.numpy()))
        return ((coords.double() @ lattices).float() - self.tensors["cartesian_low"]) / self._span()

    def _span(self) -> Tensor:
        return (self.tensors["cartesian_high"] - self.tensors["cartesian_low"]).clamp(min=1e-3)

    def _occupied(self, place: Tensor) -> Tensor:
        """bool (n, L, H, W)."""
        occupied = torch.zeros(len(place), self.layout.places, dtype=torch.bool)
        crystal, atom = torch.nonzero(place >= 0, as_tuple=True)
        occupied[crystal, place[crystal, atom]] = True
        return occupied.unflatten(1, self.grid)


class UniMatData(CrystalData):
    """UniMat crystals, one item per crystal; see `data.format` for the file.

    Raises:
        ValueError: a condition is asked for that no training crystal has.
    """

    def __init__(self, path: Path, input: UniMatInput = UniMatInput()):
        self.tensors = t = read_tensors(path, "unimat")
        self.codec = UniMatCodec.of_file(t, input)
        train = t["split"] == TRAIN
        self.mean_atoms = float((t["place"][train] >= 0).sum(dim=1).float().mean())
        for name in input.conditions:
            known = encode_properties((name,), {name: t[PROPERTIES[name].tensor][train]}, self.codec.scales)[
                f"{PROPERTIES[name].tensor}_known"
            ]
            if not known.any():
                raise ValueError(f"{path}: no training crystal has a known {name}; expected another choice of input.conditions")

    def targets(self, items: Tensor) -> Tensor:
        """See `MatrixData`."""
        return self.take(items)["row"]

    def take(self, items: Tensor) -> dict[str, Tensor]:
        """Return the tensors of the items, those of `data.format.CRYSTALS`."""
        return {name: self.tensors[name][items] for name in CRYSTALS["unimat"]}

    def batch(self, items: Tensor, generator: torch.Generator | None = None) -> Batch:
        """Return the crystals of the items; with a generator, described anew as `input.augment` says."""
        t = self.take(items)
        condition = self._told(t)  # an element's atoms keep its first layers, however they are ordered
        place, coords, cell = t["place"], t["frac_coords"], t["cell"]
        if generator is not None:
            per_layer = self.codec.tensors["elements"].numel()
            place, coords, cell = augment(place, coords, cell, self.codec.input.augment, per_layer, generator)
        return Batch(self.codec.scale(place, coords, cell), self._weight(condition), condition)

    def condition(self, items: Tensor) -> dict[str, Tensor]:
        """Return what a network is told of the items, see `UniMatCodec.conditions`."""
        return self._told(self.take(items))

    def _told(self, t: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.codec.conditions(t["place"], {name: t[kind.tensor] for name, kind in PROPERTIES.items()})

    def _weight(self, condition: dict[str, Tensor]) -> Tensor:
        """Weigh values: a null atom is information too, but not where it is known, in a place that can hold no atom.

        Where the cell is a token, it weighs as much as the coordinates of as many places as a crystal has atoms, on
        average: nearly all places are null, and the cell would drown what little is said of atoms.
        """
        counted = condition.get("places", self.codec.used)[:, None].float()
        if self.codec.layout.as_token:
            counted = counted / self.mean_atoms
            return self.codec.layout.join(counted.expand(-1, 3, -1, -1, -1), torch.full((len(counted), 6), 0.5))
        return counted.expand(-1, 9, -1, -1, -1)
