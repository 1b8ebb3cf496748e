"""`python -m lrdiag`."""

from lrdiag.cli import main

main()
