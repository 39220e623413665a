"""Sources of crystals, the polymorph filter, splits, and the embedded library's builder."""
