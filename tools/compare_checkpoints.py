"""python tools/compare_checkpoints.py: the same as ferspore compare"""

import sys

from ferspore.cli.compare import main

sys.exit(main(sys.argv[1:]))
