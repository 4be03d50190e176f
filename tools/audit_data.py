"""python tools/audit_data.py: the same as ferspore audit"""

import sys

from ferspore.cli.audit import main

sys.exit(main(sys.argv[1:]))
