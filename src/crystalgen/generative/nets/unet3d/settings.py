"""Settings of UniMat's U-Net over (L, H, W) (A §2.2); the defaults are the preset `demo`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from crystalgen.generative.nets.settings import Levels, NetSettings, Small, Width, check_heads
from crystalgen.utils.values import Count, Dropout, Whole


class UNet3dConfig(NetSettings):
    """Widths, depths and inputs."""

    representation: ClassVar[str] = "unimat"
    presets: ClassVar[dict[str, dict]] = {
        "demo": {},
        "base": {"channels": 64, "blocks": 2},
        "published": {  # A Table 4
            "channels": 256, "multipliers": (1, 2, 4), "blocks": 3, "stride": 3, "head_channels": 64, "dropout": 0.1,
        },
    }  # fmt: skip

    name: Literal["unet3d"] = "unet3d"
    channels: Width = 32
    multipliers: Levels = (1, 2)
    blocks: Small = 1
    stride: Annotated[Whole, Field(ge=2, le=9)] = 2  # of a step down, over H and W; 3 divides 9 x 18 evenly twice
    heads: Small = 4
    head_channels: Count | None = None  # with a number, as many heads as it divides a level's channels into
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    dropout: Dropout = 0.0

    @model_validator(mode="after")
    def _heads_divide(self):
        widths = [self.channels * multiplier for multiplier in self.multipliers]
        if self.head_channels is None:
            check_heads(self.heads, widths)
        elif odd := [width for width in widths if width % self.head_channels]:
            raise ValueError(f"head_channels {self.head_channels}: expected a divisor of every level's channels, {odd[0]} among them")
        return self

    def build(self, codec):
        """See `NetSettings`; codec: a `UniMatCodec`."""
        from crystalgen.generative.nets.unet3d.model import UNet3d

        return UNet3d(codec.layout, codec.tensors["elements"], codec.input.composition != "none", codec.properties, self)
