"""``python -m analysis.prepare MODEL``: see :mod:`analysis.prepare.command`."""

import os
import sys

from analysis.engine.supervisor import QUIET_HUB
from analysis.prepare.command import main

if __name__ == "__main__":
    os.environ |= QUIET_HUB
    os.umask(0o077)  # whatever is written below the data folder is for its user alone
    sys.exit(main(sys.argv[1:]))
