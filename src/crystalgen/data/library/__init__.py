"""Building the embedded library: recipe -> candidates -> volumes -> energies -> relaxation -> table."""
