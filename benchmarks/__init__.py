"""What finetui promises about speed, measured: each module prints its figures beside their budgets.

Not tests: a busy machine must not fail a build. `make bench` runs all of them. The real terminal and the scripted
worker are those of the tests.
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).parent.parent / "tests"
sys.path += [str(_TESTS), str(_TESTS / "pty")]
