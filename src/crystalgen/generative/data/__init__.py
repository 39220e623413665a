"""What a training job reads: a file of tensors, made into scaled batches."""
