"""Machine-learned potentials: energies and relaxations."""
