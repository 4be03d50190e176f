"""python tools/explain.py: the same as ferspore explain"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from ferspore.cli.explain import main

sys.exit(main(sys.argv[1:]))
