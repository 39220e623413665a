"""Whether two crystals are one: StructureMatcher's verdicts, compiled."""
