"""Arrays, scores and histories -> figures and pages; never loads a model."""
