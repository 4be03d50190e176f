"""python src/train.py: the same as ferspore train"""

from ferspore.cli.start import start

start("train")
