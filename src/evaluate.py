"""python src/evaluate.py: the same as ferspore evaluate"""

from ferspore.cli.start import start

start("evaluate")
