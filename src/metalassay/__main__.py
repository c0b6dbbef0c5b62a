"""`python -m metalassay`."""

import sys

from metalassay.cli import main

sys.exit(main())
