"""Run the command ``sockstore`` as ``python -m sockstore``."""

import sys

from sockstore.cli import main

sys.exit(main())
