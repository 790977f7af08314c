"""Run the `cleanplate` command as `python -m cleanplate`."""

from cleanplate import main

main()
