"""Settings of UniMat's input; no torch here, so that settings are read at once."""

from typing import Annotated, Literal

from crystalgen.generative.data.format import PROPERTIES
from crystalgen.utils.strict import Strict
from crystalgen.utils.values import Distinct

Condition = Literal[tuple(PROPERTIES)]


class UniMatInput(Strict):
    """What a UniMat model sees beside the noise (A §2.1, §2.2)."""

    coordinates: Literal["fractional", "cartesian"] = "fractional"
    cell: Literal["channels", "token"] = "channels"
    composition: Literal["none", "type", "exact"] = "none"  # which elements (H x W), or how many atoms of each (L x H x W)
    conditions: Annotated[tuple[Condition, ...], Distinct] = ()  # by classifier-free guidance
    augment: Annotated[tuple[Literal["order", "axes", "translation"], ...], Distinct] = ()  # how training crystals are described anew
