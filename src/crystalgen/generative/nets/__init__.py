"""Networks, a folder each: settings with presets, and a module of one signature, (x, t, condition) -> a tensor like x.

To add a network, add its folder and the line below that imports its settings. No torch is imported before one is built.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from crystalgen.generative.nets.places.settings import PlacesConfig as _places  # noqa: F401
from crystalgen.generative.nets.rows.settings import RowsConfig as _rows  # noqa: F401
from crystalgen.generative.nets.settings import NetSettings
from crystalgen.generative.nets.unet1d.settings import UNet1dConfig as _unet1d  # noqa: F401
from crystalgen.generative.nets.unet3d.settings import UNet3dConfig as _unet3d  # noqa: F401


def net_field(representation: str, default: str) -> Any:
    """Return the type of a setting that is a network of the representation: spelt out, or a preset by its name.

    default: name of the network that settings without a name are of.
    """
    kinds = tuple(kind for kind in NetSettings.__subclasses__() if kind.representation == representation)
    presets = {name: kind for kind in kinds for name in kind.presets}

    def spelt_out(net):
        if isinstance(net, dict):
            return {"name": default} | net
        if not isinstance(net, str):
            return net
        if net not in presets:
            raise ValueError(f"'{net}' is no preset; expected one of {sorted(presets)}, or channels, multipliers, ...")
        return presets[net].preset(net)

    choice = Annotated[reduce(or_, kinds), Field(discriminator="name")] if len(kinds) > 1 else kinds[0]
    return Annotated[choice, BeforeValidator(spelt_out)]
