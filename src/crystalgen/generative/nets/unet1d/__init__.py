"""The one-dimensional U-Net over the rows of the matrix."""
