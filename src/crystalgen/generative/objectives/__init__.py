"""Objectives, a file each: what a network sees (x_t), what it predicts (the target), and how samples are drawn from it."""
