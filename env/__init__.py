"""The simulated transcoding cluster: state, workloads, simulator, Gymnasium environment.

Importing it registers ``DaCirco-v0`` with Gymnasium (see `env.gym_env.DaCircoEnv`, and
`env.engine.vector_env.DaCircoVectorEnv` for what ``make_vec`` gives).
"""

from gymnasium.envs.registration import register, registry

if "DaCirco-v0" not in registry:
    # Episodes truncate themselves, so there is no max_episode_steps.
    register(
        id="DaCirco-v0",
        entry_point="env.gym_env:DaCircoEnv",
        vector_entry_point="env.vector_entry:make_vector_env",
    )
