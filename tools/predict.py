"""python tools/predict.py: the same as ferspore predict"""

import sys

from ferspore.cli.predict import main

sys.exit(main(sys.argv[1:]))
