"""A checkpoint -> a file for other programs, published only if it answers as the checkpoint."""
