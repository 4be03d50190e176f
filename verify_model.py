"""python verify_model.py: the same as ferspore verify"""

import sys

from ferspore.cli.verify import main

sys.exit(main(sys.argv[1:]))
