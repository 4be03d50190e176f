"""python tools/generate_correct_samples.py: the same as ferspore samples"""

import sys

from ferspore.cli.samples import main

sys.exit(main(sys.argv[1:]))
