"""Studies that need trained models: search, energies, guidance, ablations, crystals on request."""
