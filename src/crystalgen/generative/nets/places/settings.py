"""Settings of the transformer over the places of UniMat's table; the defaults are the preset `occupied`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from crystalgen.generative.nets.settings import NetSettings, Small, Width, check_heads
from crystalgen.utils.values import Dropout, Whole


class PlacesConfig(NetSettings):
    """Width, depth, and what a token is."""

    representation: ClassVar[str] = "unimat"
    presets: ClassVar[dict[str, dict]] = {"occupied": {}}

    name: Literal["places"] = "places"
    token: Literal["place", "element"] = "place"  # a token for each place (L, H, W), or one for each element with all its layers
    scores: bool = False  # coordinates enter as distances from the null atom in units of the noise too (for diffusion)
    # elements that are surely absent cost nothing, and the answer for them is the null atom; for diffusion on a cosine schedule that
    # predicts the data, see `nets.scores.absent`
    skips: bool = False
    # what is surely an atom, and the cell, are answered relative to where they stand, see `nets.scores.residual`; for the same diffusion
    residual: bool = False
    # so many sines and cosines of each coordinate enter too, of 1, 2, 4, ... periods in the cell
    waves: Annotated[Whole, Field(ge=0, le=64)] = 0
    channels: Width = 128
    blocks: Small = 4
    heads: Small = 4
    dropout: Dropout = 0.0

    @model_validator(mode="after")
    def _heads_divide(self):
        check_heads(self.heads, [self.channels])
        if self.skips and self.token != "element":
            raise ValueError(f"skips with token {self.token}; expected token element, for elements are skipped with all their layers")
        return self

    def build(self, codec):
        """See `NetSettings`; codec: a `UniMatCodec`."""
        from crystalgen.generative.nets.places.model import PlaceTransformer

        return PlaceTransformer(codec.layout, codec.tensors["elements"], codec.properties, self)
