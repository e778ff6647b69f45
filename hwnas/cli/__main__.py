"""``python -m hwnas.cli``, where the `hwnas` script is not on the path."""

from hwnas.cli import main

main()
