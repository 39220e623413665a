"""Correct and choose: networks that see a retrieved candidate, shift its atoms and cell, and say whether it is what was asked for."""
