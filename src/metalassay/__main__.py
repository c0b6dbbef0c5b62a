"""`python -m metalassay`."""

import sys

from metalassay.cli.main import main

sys.exit(main())
