"""python tools/plot_history.py: the same as ferspore history"""

import sys

from ferspore.cli.history import main

sys.exit(main(sys.argv[1:]))
