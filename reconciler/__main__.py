"""`python -m reconciler`."""

import sys

from .cli.main import main

sys.exit(main())
