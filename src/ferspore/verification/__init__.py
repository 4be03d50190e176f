"""A checkpoint -> findings and a verdict."""
