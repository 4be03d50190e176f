"""python src/evaluate.py: the same as ferspore evaluate"""

import sys

from ferspore.cli.evaluate import main

sys.exit(main(sys.argv[1:]))
