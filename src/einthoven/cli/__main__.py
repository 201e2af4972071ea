"""``python -m einthoven.cli``."""

from einthoven.cli.main import run

run()
