"""UniMat crystals in a folder of shards, so that a set need not fit into memory. Torch only.

tables.safetensors holds what belongs to no single crystal: the tables of `data.format.TABLES`, what training crystals held, `split` of
every crystal, and `shard_size` and `shard_digest` of each shard; 00000.safetensors, 00001.safetensors, ... hold the crystals, each
shard those of one split. Crystals are numbered shard by shard. An epoch shuffles the shards, and the crystals of `WINDOW` shards at a
time together, so that twice so many shards are in memory at most.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from crystalgen.generative.data.conditions import Seen
from crystalgen.generative.data.format import CRYSTALS, TABLES, TRAIN
from crystalgen.generative.data.settings import UniMatInput
from crystalgen.generative.data.unimat import UniMatCodec, UniMatData
from crystalgen.utils.files import atomic, check_empty

INDEX = "tables.safetensors"
SHARD = 16384  # crystals
WINDOW = 8  # shards
WINDOWS = 2  # in memory: a batch may lie across two
_NARROW = {"place": torch.int16, "row": torch.int32, "split": torch.int8, "space_group": torch.int16}


def write_shards(chunks: Iterable[dict[str, Tensor]], tables: dict[str, Tensor], folder: Path, size: int = SHARD) -> None:
    """Write a folder of shards.

    Args:
        chunks: tensors of crystals, see `data.format.CRYSTALS`; any number of crystals each, as many columns of places in all.
        tables: of `data.format.TABLES`.
        folder: new or empty.
        size: crystals of a shard.

    Raises:
        ValueError: the folder holds something; or a place is outside the table.
    """
    check_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    waiting: dict[int, list[dict[str, Tensor]]] = {}
    sizes, digests, splits, seen, atoms = [], [], [], None, 0

    def write(split: int, part: dict[str, Tensor]) -> None:
        path = folder / f"{len(sizes):05d}.safetensors"
        with atomic(path) as partial:
            save_file({name: value.to(_NARROW.get(name, value.dtype)).contiguous() for name, value in part.items()}, partial)
        digests.append(torch.frombuffer(bytearray(hashlib.sha256(path.read_bytes()).digest()), dtype=torch.uint8))
        sizes.append(len(part["split"]))
        splits.append(torch.full((sizes[-1],), split, dtype=torch.int8))

    places = int(tables["depth"]) * tables["elements"].numel()
    for chunk in chunks:
        if int(chunk["place"].max()) >= min(places, 2**15):
            raise ValueError(f"place {int(chunk['place'].max())}: outside the table; expected numbers below {min(places, 2**15)}")
        found = UniMatCodec.of_file(chunk | tables, UniMatInput()).seen
        seen = found if seen is None else _joined(seen, found)
        atoms += int((chunk["place"][chunk["split"] == TRAIN] >= 0).sum())
        for split in chunk["split"].unique().tolist():
            chosen = chunk["split"] == split
            waiting.setdefault(split, []).append({name: chunk[name][chosen] for name in CRYSTALS["unimat"]})
            if sum(len(part["split"]) for part in waiting[split]) >= size:
                *full, rest = _split(waiting[split], size)
                for part in full:
                    write(split, part)
                waiting[split] = [rest]
    for split, parts in waiting.items():
        for part in _split(parts, size):
            if len(part["split"]):
                write(split, part)
    split = torch.cat(splits)
    index = {
        **{name: tables[name] for name in TABLES["unimat"]},
        **{f"seen_{name}": value for name, value in vars(seen).items()},
        "split": split,
        "shard_size": torch.tensor(sizes),
        "shard_digest": torch.stack(digests),
        "mean_atoms": torch.tensor([atoms / max(1, int((split == TRAIN).sum()))], dtype=torch.float64),
    }
    with atomic(folder / INDEX) as partial:
        save_file({name: value.contiguous() for name, value in index.items()}, partial)


class ShardedUniMatData(UniMatData):
    """UniMat crystals of a folder of shards; otherwise as `UniMatData`.

    Raises:
        FileNotFoundError: the folder has no index.
    """

    def __init__(self, folder: Path, input: UniMatInput = UniMatInput()):
        if not (folder / INDEX).is_file():
            raise FileNotFoundError(f"{folder / INDEX}: no such file; expected a folder of shards that `write_shards` wrote")
        index = load_file(folder / INDEX)
        seen = Seen(**{name: index.pop(f"seen_{name}") for name in ("elements", "space_groups", "max_sites")})
        self.folder, self.split, self.sizes = folder, index["split"], index["shard_size"]
        self.first = torch.cat([torch.zeros(1, dtype=torch.long), self.sizes.cumsum(0)])
        self.codec = UniMatCodec({name: index[name] for name in TABLES["unimat"]}, seen, input)
        self.mean_atoms = float(index["mean_atoms"])
        self.window = torch.arange(len(self.sizes))  # of each shard; those of a window are read together
        self.held: OrderedDict[int, tuple[Tensor, dict[str, Tensor]]] = OrderedDict()  # windows in memory, the one used last at the end

    def items(self, split: int) -> Tensor:
        """See `CrystalData`."""
        return torch.nonzero(self.split == split).flatten()

    def epoch(self, generator: torch.Generator) -> Tensor:
        """See `CrystalData`: shards in random order, the crystals of a window of them shuffled together."""
        shards = torch.nonzero(self.split[self.first[:-1]] == TRAIN).flatten()
        parts = []
        for number, window in enumerate(shards[torch.randperm(len(shards), generator=generator)].split(WINDOW)):
            self.window[window] = len(self.sizes) + number
            items = torch.cat([torch.arange(self.first[shard], self.first[shard + 1]) for shard in window])
            parts.append(items[torch.randperm(len(items), generator=generator)])
        self.held.clear()
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long)

    def take(self, items: Tensor) -> dict[str, Tensor]:
        """See `UniMatData`; reads the windows that are not in memory."""
        shard = torch.bucketize(items, self.first[1:], right=True)
        window = self.window[shard]
        if len(items) and bool((window == window[0]).all()):
            return self._of_window(int(window[0]), items, shard)
        parts, order = [], torch.argsort(window, stable=True)
        for number in window.unique().tolist():
            parts.append(self._of_window(number, items[window == number], shard[window == number]))
        back = torch.argsort(order)
        return {name: torch.cat([part[name] for part in parts])[back] for name in CRYSTALS["unimat"]} if parts else self._none()

    def _of_window(self, number: int, items: Tensor, shard: Tensor) -> dict[str, Tensor]:
        if number not in self.held:
            if len(self.held) == WINDOWS:
                self.held.popitem(last=False)
            self.held[number] = self._read(torch.nonzero(self.window == number).flatten().tolist())
        self.held.move_to_end(number)
        moved, tensors = self.held[number]
        places = items + moved[shard]
        found = {name: tensors[name][places] for name in CRYSTALS["unimat"]}
        return found | {name: found[name].long() for name in _NARROW}

    def _read(self, shards: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """The crystals of shards one after the other, and by how much their numbers differ from those of the whole, by shard."""
        moved, start = torch.zeros(len(self.sizes), dtype=torch.long), 0
        read = []
        for shard in shards:
            moved[shard] = start - self.first[shard]
            start += int(self.sizes[shard])
            read.append(load_file(self.folder / f"{shard:05d}.safetensors"))
        return moved, {name: torch.cat([part[name] for part in read]) for name in CRYSTALS["unimat"]}

    def _none(self) -> dict[str, Tensor]:
        return {name: value[:0] for name, value in self._of_window(int(self.window[0]), self.first[:1], self.first[:1]).items()}


def _split(parts: list[dict[str, Tensor]], size: int) -> Iterator[dict[str, Tensor]]:
    """Crystals in parts of a size; the last one is shorter, or empty."""
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    count = len(joined["split"])
    for start in range(0, count + 1, size):
        yield {name: value[start : start + size] for name, value in joined.items()}


def _joined(one: Seen, other: Seen) -> Seen:
    longest = torch.maximum(one.max_sites, other.max_sites)
    return Seen(one.elements + other.elements, one.space_groups + other.space_groups, longest)
