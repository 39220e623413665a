"""Limits of what is plausible, apart from `crystals.plausibility`, which applies them, so that a request is checked without pandas."""

MIN_CONTACT = 0.5  # of the sum of two covalent radii
MAX_FORMATION_ENERGY = 5.0  # eV/atom, either way
MAX_BELOW_HULL = 0.5  # eV/atom; no crystal lies so far below a hull that holds its elements
FORMULA_UNITS = (1, 2, 3, 4, 6, 8)  # of a primitive cell that are tried; MP-20's stable compounds have others in one of a hundred
