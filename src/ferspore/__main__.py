"""python -m ferspore"""

import sys

from ferspore.cli.main import main

sys.exit(main(sys.argv[1:]))
