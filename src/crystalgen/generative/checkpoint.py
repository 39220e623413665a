"""A trained model as a folder: all that sampling needs, and nothing of the training data. Torch only.

weights/<seed>.safetensors, a network of each training seed; model.json, its settings (the ways to sample are those that
stood there at training); scales.safetensors, the scales and tables that the networks were built on, and what the
training crystals held; card.json, where it comes from (see `workflow.cards`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from crystalgen.generative.data.conditions import Seen, withheld
from crystalgen.generative.data.matrix import MatrixCodec
from crystalgen.generative.data.unimat import UniMatCodec
from crystalgen.generative.objectives.base import Objective
from crystalgen.generative.sample import draw_samples
from crystalgen.generative.settings import MatrixModel, Sampling, UniMatModel, read_model
from crystalgen.generative.symmetry import Symmetry
from crystalgen.utils.files import atomic, write_json

_SEEN = "seen_"  # before the names of what the training crystals held
SETTINGS, SCALES = "model.json", "scales.safetensors"


@dataclass
class Model:
    """A trained model; it is sampled in the precision that it was trained in.

    settings: its settings.
    codec: between crystals and what its networks see; `codec.request` encodes what is asked, `codec.seen` knows what can be.
    nets: by training seed.
    objective: of the settings.
    """

    settings: MatrixModel | UniMatModel
    codec: MatrixCodec | UniMatCodec
    nets: dict[int, nn.Module]
    objective: Objective | None = None

    def __post_init__(self):
        self.objective = self.objective or self.settings.objective.build()

    def knows(self, numbers: Sequence[int], space_group: int | None = None) -> bool:
        """Return whether the model can be asked for a cell of these atoms, see `codec.check`."""
        try:
            self.codec.check(numbers, space_group)
        except ValueError:
            return False
        return True

    def sample(self, condition: dict[str, Tensor], sampling: Sampling, seed: int | None = None,
               symmetry: Callable[[Tensor, torch.device], Symmetry] | None = None,
               names: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
        """Draw crystals, as `codec.unscale` gives them.

        Args:
            condition: of `codec.request` or a data set, tensors (n, ...); empty for `sampling.count` unconditional ones.
            sampling: how; sample i follows from (sampling.seed, i) and its condition.
            seed: which network; the first without.
            symmetry, names: see `draw_samples`.
        """
        net = self.nets[next(iter(self.nets)) if seed is None else seed]
        condition = withheld(condition, sampling.withhold)
        count = len(next(iter(condition.values()))) if condition else sampling.count
        bf16 = self.settings.training.precision == "bf16"
        drawn = draw_samples(net, self.objective, self.codec.shape, condition, count, sampling, symmetry=symmetry, bf16=bf16, names=names)
        return self.codec.unscale(drawn, condition)

    def save(self, folder: Path) -> None:
        """Write the folder, but for the card."""
        for seed, net in self.nets.items():
            _save_tensors(net.state_dict(), folder / "weights" / f"{seed}.safetensors")
        seen = {f"{_SEEN}{name}": value for name, value in vars(self.codec.seen).items()}
        _save_tensors(self.codec.tensors | seen, folder / SCALES)
        write_json(self.settings.model_dump(mode="json"), folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path, count: int | None = None) -> "Model":
        """Read a folder, on a GPU where there is one.

        count: of networks, the first training seeds'; all without.

        Raises:
            FileNotFoundError: a file is missing; the message says what leaves it.
        """
        settings, codec = load_codec(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        weights = [(seed, folder / "weights" / f"{seed}.safetensors") for seed in settings.training.seeds[:count]]
        return cls(settings, codec, {seed: _load_net(settings, codec, path).to(device) for seed, path in weights})


def load_codec(folder: Path) -> tuple[MatrixModel | UniMatModel, MatrixCodec | UniMatCodec]:
    """Read a trained model's folder but for its networks: the settings, and the codec, which knows what the model can be asked.

    Raises:
        FileNotFoundError: a file is missing.
    """
    for name in (SETTINGS, SCALES):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no trained model; train it first, or see `crystalgen use-shipped --help`")
    settings = read_model(folder / SETTINGS)
    tensors = load_file(folder / SCALES)
    seen = Seen(**{name.removeprefix(_SEEN): tensors.pop(name) for name in list(tensors) if name.startswith(_SEEN)})
    if settings.representation == "unimat":
        return settings, UniMatCodec(tensors, seen, settings.input)
    return settings, MatrixCodec(tensors, seen, "energy_difference" if settings.task == "modification" else "energy")


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    with atomic(path) as partial:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial)


def _load_net(settings: MatrixModel | UniMatModel, codec: MatrixCodec | UniMatCodec, path: Path) -> nn.Module:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no trained weights; train this seed first")
    net = settings.build_net(codec)
    net.load_state_dict(load_file(path))
    return net.eval()
