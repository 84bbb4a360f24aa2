"""`python -m delivery` is the command `delivery`."""

from delivery.cli import main

main()
