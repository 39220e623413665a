"""The transformer over the places of UniMat's table that may hold an atom."""
