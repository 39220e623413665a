"""The transformer over the rows of the matrix: a token for each atom, each lattice vector and the crystal as a whole."""
