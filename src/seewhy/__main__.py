"""python -m seewhy."""

from seewhy.cli.app import main

main()
