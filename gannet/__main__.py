"""`python -m gannet`."""

import sys

from gannet.cli import main

sys.exit(main())
