"""The evaluation of a run; `core.engine.evaluate` is its command. Nothing here but `loaded` and what it needs imports
torch: a served model is evaluated without it."""
