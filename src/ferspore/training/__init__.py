"""The story of a run, and of several."""
