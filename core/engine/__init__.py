"""What needs torch, always in a process of its own."""

import logging

# PEFT imports bitsandbytes where it is installed, which warns of kernels that nobody has asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
