"""python tools/explain.py: the same as ferspore explain"""

import sys

from ferspore.cli.explain import main

sys.exit(main(sys.argv[1:]))
