"""Settings of the U-Net over the rows of the matrix (B §4, A.3); the defaults are the preset `lean`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from crystalgen.generative.nets.settings import Levels, NetSettings, Small, Width, check_heads
from crystalgen.utils.values import Count, Distinct, Dropout, Number, Positive

Octave = Annotated[Number, Field(ge=-32, le=32)]


class UNet1dConfig(NetSettings):
    """Widths, depths and inputs."""

    representation: ClassVar[str] = "matrix"
    presets: ClassVar[dict[str, dict]] = {
        "lean": {},
        "published": {"channels": 128, "multipliers": (1, 2, 4, 8), "blocks": 7, "attention": (1, 2, 4, 8)},  # B A.3; 322 M parameters
    }

    name: Literal["unet1d"] = "unet1d"
    channels: Width = 64
    multipliers: Levels = (1, 1)
    blocks: Small = 1
    attention: Annotated[tuple[Count, ...], Distinct] = (1,)  # downsampling factors at which there is attention
    heads: Small = 4
    dropout: Dropout = 0.0
    periodic: bool = False  # coordinates enter as sines and cosines, so that 0 and 1 are the same
    start: bool = False  # the structure to modify is an input beside x (Palette, B §5.3)
    time_scale: Positive = 1000.0  # t in [0, 1] is multiplied by this before its sinusoidal embedding
    energy_waves: Small = 16  # sines and cosines of the energy condition,
    energy_octaves: tuple[Octave, Octave] = (-2.0, 6.0)  # of frequencies 2^first to 2^last

    @model_validator(mode="after")
    def _attention_fits(self):
        factors = [2**depth for depth in range(len(self.multipliers))]
        if strange := sorted(set(self.attention) - set(factors)):
            raise ValueError(f"attention {strange}: expected factors of the levels, some of {factors}")
        check_heads(self.heads, [self.channels * self.multipliers[factors.index(factor)] for factor in self.attention])
        if self.energy_octaves[0] >= self.energy_octaves[1]:
            raise ValueError(f"energy_octaves {list(self.energy_octaves)}: expected the lower one first")
        return self

    def build(self, codec):
        """See `NetSettings`; codec: a `MatrixCodec`."""
        from crystalgen.generative.nets.unet1d.model import UNet1d

        return UNet1d(codec.shape[0], codec.tensors["element_properties"], codec.tensors["operations"], self, codec.energy)
