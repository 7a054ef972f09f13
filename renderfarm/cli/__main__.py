"""``python -m renderfarm.cli``: the same as ``farm``."""

from renderfarm.cli import main

main(prog_name="farm")
