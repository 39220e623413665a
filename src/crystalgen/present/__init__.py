"""What readers see: figures, pictures of crystals, tables and the report of a study."""
