"""Networks: each takes (x, t, condition) and returns a tensor shaped like x. Torch only."""
