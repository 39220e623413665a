"""Networks, each with one signature: (x, t, condition) -> a tensor like x."""
