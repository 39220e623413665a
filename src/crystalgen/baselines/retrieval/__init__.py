"""Retrieval: the training crystals of the nearest compositions, their elements swapped, as answers to a composition."""
