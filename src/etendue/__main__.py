"""``python -m etendue``."""

from etendue.cli import main

main()
