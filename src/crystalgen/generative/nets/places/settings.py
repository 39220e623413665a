"""Settings of the transformer over the places of UniMat's table; the defaults are the preset `occupied`."""

from typing import ClassVar, Literal

from crystalgen.generative.nets.settings import NetSettings


class PlacesConfig(NetSettings):
    """Width, depth, and what a token is."""

    representation: ClassVar[str] = "unimat"
    presets: ClassVar[dict[str, dict]] = {"occupied": {}}

    name: Literal["places"] = "places"
    token: Literal["place", "element"] = "place"  # a token for each place (L, H, W), or one for each element with all its layers
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    waves: int = 0  # so many sines and cosines of each coordinate enter too, of 1, 2, 4, ... periods in the cell
    channels: int = 128
    blocks: int = 4
    heads: int = 4
    dropout: float = 0.0

    def build(self, codec):
        """See `NetSettings`; codec: a `UniMatCodec`."""
        from crystalgen.generative.nets.places.model import PlaceTransformer

        return PlaceTransformer(codec.layout, codec.tensors["elements"], codec.properties, self)
