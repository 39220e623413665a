"""From a study's model to its network, shaped for its data."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from crystalgen.generative.data.matrix import MatrixData
from crystalgen.generative.data.unimat import SCALARS, UniMatData
from crystalgen.generative.nets.sparse_unimat import PlaceTransformer
from crystalgen.generative.nets.unet1d import UNet1d
from crystalgen.generative.nets.unet3d import UNet3d
from crystalgen.generative.settings import MatrixModel, PlacesConfig, UniMatModel
from crystalgen.utils.files import atomic


def build_net(model: MatrixModel | UniMatModel, data: MatrixData | UniMatData) -> nn.Module:
    """The network that `model` names, with weights drawn from torch's global generator."""
    if isinstance(model, MatrixModel):
        tensors = data.tensors
        return UNet1d(data.shape[0], tensors["element_properties"], tensors["operations"], model.net)
    auxiliary = tuple(SCALARS.get(name, name) for name in model.input.conditions)
    elements = data.tensors["elements"]
    if isinstance(model.net, PlacesConfig):
        return PlaceTransformer(data.layout, elements, auxiliary, model.net)
    return UNet3d(data.layout, elements, model.input.composition != "none", auxiliary, model.net)


def save_net(net: nn.Module, path: Path) -> None:
    """Write the weights as safetensors."""
    with atomic(path) as partial:
        save_file({name: value.contiguous() for name, value in net.state_dict().items()}, partial)


def load_net(model: MatrixModel | UniMatModel, data: MatrixData | UniMatData, path: Path) -> nn.Module:
    """The network with saved weights, ready to sample.

    Raises:
        FileNotFoundError: no weights; the message says which stage leaves them.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no trained weights; run the training stage of this model first (dvc repro)")
    net = build_net(model, data)
    net.load_state_dict(load_file(path))
    return net.eval()
