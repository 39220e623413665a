"""Elements, the periodic table's layout and space groups: constants, computed once."""
