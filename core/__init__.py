"""finetui's headless half: everything that a person's screen or command line asks for, without a screen.

`core` outside `core.engine` is light: no torch, no textual. `core.engine` is heavy and always runs in a process of
its own, reached over a pipe (`core.serve`) or through a run directory.
"""
