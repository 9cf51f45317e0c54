"""The door to ``gymnasium.make_vec("env:DaCirco-v0")``: it needs an extra that may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gymnasium.error import DependencyNotInstalled

if TYPE_CHECKING:
    from env.engine.vector_env import DaCircoVectorEnv


def make_vector_env(num_envs: int = 1, **arguments: Any) -> DaCircoVectorEnv:
    """Many data centres in the compiled engine, see `env.engine.vector_env.DaCircoVectorEnv`.

    Raises:
        DependencyNotInstalled: Numba is missing.
    """
    try:
        import numba  # noqa: F401
    except ImportError:
        raise DependencyNotInstalled(
            "the vector environment is compiled with Numba, which is not installed: "
            "pip install 'dacirco[engine]', or "
            'make_vec(..., vectorization_mode="sync") without it'
        ) from None
    from env.engine.vector_env import DaCircoVectorEnv

    return DaCircoVectorEnv(num_envs, **arguments)
