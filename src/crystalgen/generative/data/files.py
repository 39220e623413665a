"""Reading a file of tensors, and from a model's settings to its data. Torch only."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from crystalgen.generative.data.format import CRYSTALS, TABLES


def read_tensors(path: Path, representation: str) -> dict[str, Tensor]:
    """Read a file that `represent.tensors` wrote.

    Raises:
        FileNotFoundError: there is none.
        ValueError: not a file of tensors, or of another representation.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected tensors of the representation {representation} (*.safetensors)")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a file of tensors ({error})") from None
    if missing := sorted({*CRYSTALS[representation], *TABLES[representation]} - set(tensors)):
        raise ValueError(f"{path}: lacks {', '.join(missing)}; expected tensors of the representation {representation}")
    return tensors
