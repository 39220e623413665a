"""What is measured of generated crystals."""
