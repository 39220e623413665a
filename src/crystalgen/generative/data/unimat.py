"""UniMat's training data: crystals as lists of places, made into grids batch by batch. Torch only."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from crystalgen.generative.data.augment import augment
from crystalgen.generative.data.format import NULL, NULL_THRESHOLD
from crystalgen.generative.data.matrix import TRAIN, Batch, shuffled
from crystalgen.generative.settings import UniMatInput
from crystalgen.utils.lattice import lattices_from_parameters

CELL_STD = 1 / 3  # of scaled cells: with coordinates in [-1, 1), three deviations stay in [-1, 1]
SCALARS = {"formation_energy_per_atom": "energy", "band_gap": "band_gap"}  # column: its name among the tensors


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
        """x from coordinates (B, 3, L, H, W) and cell, (B, 6) or, among channels, (B, 6, L, H, W)."""
        if self.as_token:
            return torch.cat([coordinates.flatten(2).transpose(1, 2), cell.view(-1, 2, 3)], dim=1)
        if cell.dim() == 2:
            cell = cell[:, :, None, None, None].expand(-1, -1, *self.grid)
        return torch.cat([coordinates, cell], dim=1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, 3, L, H, W) and cell, (B, 6) for a token, (B, 6, L, H, W) for channels."""
        if self.as_token:
            return x[:, :-2].transpose(1, 2).unflatten(2, self.grid), x[:, -2:].flatten(1)
        return x[:, :3], x[:, 3:]


class UniMatData:
    """UniMat crystals, one item per crystal; see `represent.tensors.unimat_tensors` for the file.

    Raises:
        ValueError: a condition is asked for that no training crystal has.
    """

    def __init__(self, path: Path, settings: UniMatInput = UniMatInput()):
        self.tensors, self.settings = load_file(path), settings
        t = self.tensors
        self.grid = (int(t["depth"]), *t["elements"].shape)
        self.layout = Layout(self.grid, settings.cell)
        self.mean_atoms = float((t["place"][t["split"] == TRAIN] >= 0).sum(dim=1).float().mean())
        for name in settings.conditions:
            values = t[SCALARS[name]] if name in SCALARS else t["space_group"].float() / (t["space_group"] > 0)
            if not torch.isfinite(values[t["split"] == TRAIN]).any():
                raise ValueError(f"{path}: no training crystal has a known {name}; expected another choice of input.conditions")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one crystal's x, see `Layout`."""
        return self.layout.shape

    def items(self, split: int) -> Tensor:
        """See `MatrixData`."""
        return torch.nonzero(self.tensors["split"] == split).flatten()

    def epoch(self, generator: torch.Generator) -> Tensor:
        """See `MatrixData`."""
        return shuffled(self.items(TRAIN), generator)

    def batch(self, items: Tensor, generator: torch.Generator | None = None) -> Batch:
        """The crystals of the given items; with a generator, described anew as `input.augment` says."""
        t = self.tensors
        place, coords, cell = t["place"][items], t["frac_coords"][items], t["cell"][items]
        if generator is not None:
            place, coords, cell = augment(place, coords, cell, self.settings.augment, t["elements"].numel(), generator)
        grid = torch.full((len(items), self.layout.places, 3), NULL)
        crystal, atom = torch.nonzero(place >= 0, as_tuple=True)
        grid[crystal, place[crystal, atom]] = self._scaled_coordinates(coords, cell)[crystal, atom]
        x = self.layout.join(grid.transpose(1, 2).unflatten(2, self.grid), (cell - t["cell_mean"]) / t["cell_std"] * CELL_STD)
        condition = self.condition(items)  # an element's atoms keep its first layers, however they are ordered
        return Batch(x, self._weight(condition), condition)

    def targets(self, items: Tensor) -> Tensor:
        """Row numbers (n,), in the study's table of crystals, of the items."""
        return self.tensors["row"][items]

    def condition(self, items: Tensor) -> dict[str, Tensor]:
        """What is asked for: see `conditions`."""
        t = self.tensors
        return self.conditions(self._occupied(t["place"][items]), *(t[name][items] for name in ("energy", "band_gap", "space_group")))

    def conditions(self, occupied: Tensor, energy: Tensor, band_gap: Tensor, space_group: Tensor) -> dict[str, Tensor]:
        """What a network is told, of the data or one's own.

        Args:
            occupied: bool (n, L, H, W), which places hold an atom.
            energy, band_gap: (n,), eV/atom and eV, NaN where unknown.
            space_group: (n,), 0 where unknown.

        Returns:
            `places`, bool (n, L, H, W), those that may hold an atom, where the composition is conditioned on; and each of
            the study's other conditions, standardised, with a mask `<name>_known` (n,).
        """
        found = {}
        if self.settings.composition == "type":
            found["places"] = occupied.any(dim=1, keepdim=True).expand(-1, self.grid[0], -1, -1)
        elif self.settings.composition == "exact":
            found["places"] = occupied
        for name, values in (("formation_energy_per_atom", energy), ("band_gap", band_gap)):
            if name in self.settings.conditions:
                short = SCALARS[name]
                scaled = (values - self.tensors[f"{short}_mean"]) / self.tensors[f"{short}_std"]
                found |= {short: torch.nan_to_num(scaled), f"{short}_known": torch.isfinite(scaled)}
        if "space_group" in self.settings.conditions:
            found |= {"space_group": space_group.long(), "space_group_known": space_group > 0}
        return found

    def places_of(self, numbers: Sequence[Tensor]) -> Tensor:
        """The places that crystals of n compositions occupy, bool (n, L, H, W); an element's atoms take its first layers.

        Args:
            numbers: atomic numbers of each composition's atoms.

        Raises:
            ValueError: the table lacks an element, or has too few layers; the composition's number is named.
        """
        elements = self.tensors["elements"].flatten()
        place = torch.full((len(numbers), max(map(len, numbers))), -1)
        for row, atoms in enumerate(numbers):
            kinds, counts = torch.unique(torch.as_tensor(atoms).long(), return_counts=True)
            if strange := sorted(set(kinds.tolist()) - set(elements.tolist())):
                raise ValueError(f"condition {row}: atomic numbers {strange} are not in the network's table of elements")
            if int(counts.max()) > self.grid[0]:
                raise ValueError(f"condition {row}: {int(counts.max())} atoms of one element; the network holds at most {self.grid[0]}")
            first = torch.stack([torch.nonzero(elements == z)[0, 0] for z in kinds]).repeat_interleave(counts)
            layer = torch.cat([torch.arange(int(count)) for count in counts])
            place[row, : len(atoms)] = first + layer * len(elements)
        return self._occupied(place)

    def unscale(self, x: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Samples back to fractional coordinates (n, 3, L, H, W) and cells (n, 6), Å and degrees.

        places: bool (n, L, H, W), those that may hold an atom, where that is known; the cell is the mean over them, or over
            all that have an element.
        """
        t = self.tensors
        coordinates, cell = self.layout.split(x)
        if not self.layout.as_token:
            counted = (self._used() if places is None else places)[:, None].float()
            cell = (cell * counted).sum(dim=(2, 3, 4)) / counted.sum(dim=(2, 3, 4)).clamp(min=1)
        cell = cell / CELL_STD * t["cell_std"] + t["cell_mean"]
        if self.settings.coordinates == "fractional":
            return coordinates, cell
        positions = (coordinates.flatten(2).transpose(1, 2) * self._span() + t["cartesian_low"]).double()
        fractions = positions @ torch.linalg.pinv(torch.nan_to_num(torch.from_numpy(lattices_from_parameters(cell.numpy()))))
        fractions = (fractions % 1.0).float().transpose(1, 2).unflatten(2, self.grid)
        held = coordinates.mean(dim=1, keepdim=True) >= NULL_THRESHOLD
        return torch.where(held | (places[:, None] if places is not None else False), fractions, NULL), cell

    def _scaled_coordinates(self, coords: Tensor, cell: Tensor) -> Tensor:
        """(n, A, 3): fractional ones as they are; Cartesian ones brought to [0, 1] by the training set's extremes."""
        if self.settings.coordinates == "fractional":
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

    def _used(self) -> Tensor:
        """bool (1, L, H, W), the places that have an element."""
        return (self.tensors["elements"] > 0).expand(1, *self.grid)

    def _weight(self, condition: dict[str, Tensor]) -> Tensor:
        """A null atom is information too, but not where it is known: places that can hold no atom weigh nothing.

        Where the cell is a token, it weighs as much as the coordinates of as many places as a crystal has atoms, on
        average: nearly all places are null, and the cell would drown what little is said of atoms.
        """
        counted = condition.get("places", self._used())[:, None].float()
        if self.layout.as_token:
            counted = counted / self.mean_atoms
            return self.layout.join(counted.expand(-1, 3, -1, -1, -1), torch.full((len(counted), 6), 0.5))
        return counted.expand(-1, 9, -1, -1, -1)
