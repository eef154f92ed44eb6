"""The training of a run; `core.engine.train` is its command."""
