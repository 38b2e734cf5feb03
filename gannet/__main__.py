"""`python -m gannet`."""

from gannet.cli import entry

entry()
