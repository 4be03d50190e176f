"""The live page: the trained model in a browser, on this machine alone."""
