"""Formation energies and convex hulls."""
