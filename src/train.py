"""python src/train.py: the same as ferspore train"""

import sys

from ferspore.cli.train import main

sys.exit(main(sys.argv[1:]))
