"""Settings of the U-Net over the rows of the matrix (B §4, A.3); the defaults are the preset `lean`."""

from typing import ClassVar, Literal

from crystalgen.generative.nets.settings import NetSettings


class UNet1dConfig(NetSettings):
    """Widths, depths and inputs."""

    representation: ClassVar[str] = "matrix"
    presets: ClassVar[dict[str, dict]] = {
        "lean": {},
        "published": {"channels": 128, "multipliers": (1, 2, 4, 8), "blocks": 7, "attention": (1, 2, 4, 8)},  # B A.3; 322 M parameters
    }

    name: Literal["unet1d"] = "unet1d"
    channels: int = 64
    multipliers: tuple[int, ...] = (1, 1)
    blocks: int = 1
    attention: tuple[int, ...] = (1,)  # downsampling factors at which there is attention
    heads: int = 4
    dropout: float = 0.0
    periodic: bool = False  # coordinates enter as sines and cosines, so that 0 and 1 are the same
    start: bool = False  # the structure to modify is an input beside x (Palette, B §5.3)
    time_scale: float = 1000.0  # t in [0, 1] is multiplied by this before its sinusoidal embedding
    energy_waves: int = 16  # sines and cosines of the energy condition,
    energy_octaves: tuple[float, float] = (-2.0, 6.0)  # of frequencies 2^first to 2^last

    def build(self, codec):
        """See `NetSettings`; codec: a `MatrixCodec`."""
        from crystalgen.generative.nets.unet1d.model import UNet1d

        return UNet1d(codec.shape[0], codec.tensors["element_properties"], codec.tensors["operations"], self, codec.energy)
