"""python tools/generate_wrong_samples.py: the same as ferspore mistakes"""

import sys

from ferspore.cli.mistakes import main

sys.exit(main(sys.argv[1:]))
