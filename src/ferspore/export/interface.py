"""The names in every exported file."""

INPUT = "faces"  # float32 (N,1,S,S), grey values 0..255
OUTPUTS = ("logits", "probabilities")  # float32 (N,7); MINDIR has the logits only
