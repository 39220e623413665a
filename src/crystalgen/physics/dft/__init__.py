"""Results of density-functional codes as one table."""
