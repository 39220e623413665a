"""Settings of UniMat's U-Net over (L, H, W) (A §2.2); the defaults are the preset `demo`."""

from typing import ClassVar, Literal

from pydantic import Field

from crystalgen.generative.nets.settings import NetSettings


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
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    stride: int = Field(default=2, ge=2)  # of a step down, over H and W; 3 divides 9 x 18 evenly twice
    heads: int = 4
    head_channels: int | None = None  # with a number, as many heads as it divides a level's channels into
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    dropout: float = 0.0

    def build(self, codec):
        """See `NetSettings`; codec: a `UniMatCodec`."""
        from crystalgen.generative.nets.unet3d.model import UNet3d

        return UNet3d(codec.layout, codec.tensors["elements"], codec.input.composition != "none", codec.properties, self)
