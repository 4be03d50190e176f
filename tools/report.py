"""python tools/report.py: the same as ferspore report"""

import sys

from ferspore.cli.report import main

sys.exit(main(sys.argv[1:]))
