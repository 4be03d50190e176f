"""Network and faces -> logits, scores, comparisons."""
