"""python tools/list_runs.py: the same as ferspore list"""

import sys

from ferspore.cli.list import main

sys.exit(main(sys.argv[1:]))
