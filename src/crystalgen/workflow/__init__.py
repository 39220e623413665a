"""From studies to runs: notebooks, stages, cards, shipped results."""
