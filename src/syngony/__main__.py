"""``python -m syngony`` is the command line."""

from syngony.cli import main

main()
