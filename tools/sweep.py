"""python tools/sweep.py: the same as ferspore sweep"""

import sys

from ferspore.cli.sweep import main

sys.exit(main(sys.argv[1:]))
