"""The compiled engine: thousands of data centres side by side, the same world as `env.simulator`.

It needs Numba (the extra ``training``). See docs/engine.md for how it is laid out and how it is
kept equal to the reference.
"""
