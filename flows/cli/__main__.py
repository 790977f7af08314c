"""`python -m flows.cli`: the `cleanplate` command."""

from flows.cli.app import main

main()
