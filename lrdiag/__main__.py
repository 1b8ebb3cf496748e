"""`python -m lrdiag`."""

from lrdiag.cli.app import main

main()
