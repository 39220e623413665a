"""Correct and choose: networks that shift a crystal's atoms and cell, a retrieved candidate's or a drawn one's, and say what is likely."""
