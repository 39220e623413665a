"""Read what a training job needs: a file of tensors, made into scaled batches."""
