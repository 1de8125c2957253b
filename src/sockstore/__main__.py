"""``python -m sockstore`` is the command ``sockstore``."""

import sys

from sockstore.cli import main

sys.exit(main())
