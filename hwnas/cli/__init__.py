"""The command line: one function per verb."""

from hwnas.cli.app import main as main
