"""Paired rollouts on the compiled engine: what each action would have cost, at many states."""
