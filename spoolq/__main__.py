"""`python -m spoolq` is `spoolq`."""

from spoolq.cli import main

main()
