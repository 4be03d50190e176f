"""python tools/plot_confusion.py: the same as ferspore confusion"""

import sys

from ferspore.cli.confusion import main

sys.exit(main(sys.argv[1:]))
