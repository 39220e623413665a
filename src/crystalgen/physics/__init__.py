"""What a potential says of crystals: the hull, relaxation, and the search for new phases."""
