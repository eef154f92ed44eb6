"""Stage ppo, in the order of a step.

`loop` has answers collected (`collecting`: drawn by `rollouts`, scored, read by policy and reference), works out what
they were worth (`lesson`, by `advantages`; `controller` has the price of distance) and learns from them (`learning`, by
`losses`, in `minibatches`). `watch` says what looks wrong.
"""
