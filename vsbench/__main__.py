"""``python -m vsbench``: the command line."""

from vsbench.cli.app import main

main()
