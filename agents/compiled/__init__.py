"""Rules on the compiled engine: each is the twin of a policy of `agents`, for `env.engine`.

It needs Numba (the extra ``training``); the live service never imports it.
"""
