"""UniMat's null atom, which the representation writes and the networks know (A §2.1)."""

NULL = -1.0  # each coordinate of a place without an atom; those of atoms lie in [0, 1)
NULL_THRESHOLD = -0.5  # a place whose mean coordinate is below this, half way from NULL to 0, holds no atom
