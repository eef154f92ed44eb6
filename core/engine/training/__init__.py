"""The training of a run; `core.engine.train` is its command."""

import logging

# PEFT imports bitsandbytes where it is installed, which warns of kernels that nobody has asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
