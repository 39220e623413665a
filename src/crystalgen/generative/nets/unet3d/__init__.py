"""The three-dimensional U-Net over UniMat's table."""
