"""The arguments of ``DaCirco-v0``, checked: what its scalar and its vector form have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from gymnasium import spaces

from env.actions import n_actions
from env.config import Profile, load_profile
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE, check_preference
from env.episodes import Episode, EpisodeSampler, Rng, family_episodes
from env.errors import DaCircoError
from env.observation import bounds

PREFERENCE_OPTION: Final = "preference"
"""The one option of `reset`."""


class World:
    """What `env.gym_env.DaCircoEnv` is made from; for the arguments see there.

    Attributes:
        flavors: names of the flavors, the same in all episodes.
        preference: that of all episodes, none if each draws its own.
        max_jobs_per_core: an episode with more jobs in the system is truncated.
        action_space: of one environment.
        observation_space: likewise.

    Raises:
        DaCircoError: an argument is out of range.
        UnknownNameError: there is no such profile or family.
    """

    def __init__(
        self,
        profile: str | Profile,
        *,
        family: str,
        load: float,
        preference: float | None,
        episode_s: float,
        max_jobs_per_core: float,
        sampler: EpisodeSampler | None,
    ) -> None:
        for name, value in (
            ("load", load),
            ("episode_s", episode_s),
            ("max_jobs_per_core", max_jobs_per_core),
        ):
            if not 0 < value < np.inf:
                raise DaCircoError(f"{name} {value} must be finite and above 0")
        home = load_profile(profile) if isinstance(profile, str) else profile
        self.preference = None if preference is None else check_preference(preference)
        self.max_jobs_per_core = max_jobs_per_core
        self.sampler = sampler or family_episodes(home, family, load, episode_s)
        self.flavors = [flavor.name for flavor in home.cluster.flavors]
        low, high = bounds(self.flavors)
        self.action_space = spaces.Discrete(n_actions(len(self.flavors)))
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def draw(self, rng: Rng) -> Episode:
        """The next episode.

        Raises:
            DaCircoError: it has other flavors.
        """
        episode = self.sampler(rng)
        flavors = [flavor.name for flavor in episode.profile.cluster.flavors]
        if flavors != self.flavors:
            raise DaCircoError(
                f"profile {episode.profile.name!r} has the flavors {flavors}, but the "
                f"environment was made for {self.flavors}"
            )
        return episode

    def preference_of(self, own: float, asked: float | None) -> float:
        """The preference of an episode that has its own: that asked for, or the fixed one, or its.

        Raises:
            DaCircoError: it is out of range.
        """
        chosen = asked if asked is not None else self.preference
        return own if chosen is None else check_preference(chosen)


def read_options(options: object) -> float | None:
    """The preference that the options of `reset` ask for, none if they do not.

    Raises:
        DaCircoError: there is another option, or the value is not a preference.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise DaCircoError(
            f"reset(options=...): {_short(options)} is not a dictionary: give "
            '{"preference": 0.5} or nothing'
        )
    unknown = [key for key in options if key != PREFERENCE_OPTION]
    if unknown:
        raise DaCircoError(
            f"reset(options=...): there is no option {_short(unknown[0])}: the only one is "
            f'"{PREFERENCE_OPTION}"'
        )
    value: Any = options.get(PREFERENCE_OPTION)
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise DaCircoError(
            f'reset(options=...): "{PREFERENCE_OPTION}" is {_short(value)}: give a number from '
            f"{MIN_PREFERENCE} to {MAX_PREFERENCE}"
        )
    return check_preference(float(value))


def _short(value: object) -> str:
    return f"{repr(value)[:40]} ({type(value).__name__})"
