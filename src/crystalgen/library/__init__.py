"""The embedded library: its recipe, its builder and its card."""
