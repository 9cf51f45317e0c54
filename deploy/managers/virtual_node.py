"""A node on which virtual workers boot and transcode, slowed by each other as the profile says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from deploy.managers.real_time import RealTime
from env.config import Profile
from env.contention import SharedNode


@dataclass(slots=True, eq=False)
class _Work:
    """A piece of work on the node.

    Attributes:
        over: done when it is.
        load: vCPUs that a transcode keeps busy.
        ended: whether the node has ended it, though whoever waits may have given up.
    """

    over: asyncio.Future[None]
    load: float = 0.0
    ended: bool = False

    def end(self) -> None:
        self.ended = True
        if not self.over.done():
            self.over.set_result(None)


class VirtualNode:
    """Work on one node of a profile, in the time of a `RealTime`.

    Args:
        world: whose seconds count.
        profile: laws of contention and boots.
        index: of the node in the profile.

    Attributes:
        name: the node's.
        image_cached: whether it has held the workers' image.
    """

    def __init__(self, world: RealTime, profile: Profile, index: int) -> None:
        node = profile.cluster.nodes[index]
        self.name: Final = node.name
        self.image_cached = profile.image_cached
        self._world = world
        timing = profile.timing
        self._shared = SharedNode(
            world.env, node.cores, timing.contention, timing.boot, self._transcoded, _Work.end
        )

    async def boot(self, work_s: float) -> None:
        """A worker boots; `work_s` seconds if the node were empty."""
        work = self._begin()
        self._shared.start_boot(work_s, work)
        try:
            await work.over
        finally:
            self._world.catch_up()
            if not work.ended:
                self._shared.stop_boot(work)

    async def transcode(self, work_s: float, load: float) -> None:
        """A transcode of `work_s` seconds alone on the node that keeps `load` vCPUs busy."""
        work = self._begin(load)
        self._shared.start(work_s, load, work)
        try:
            await work.over
        finally:
            self._world.catch_up()
            if not work.ended:
                self._shared.stop(load, work)

    def _begin(self, load: float = 0.0) -> _Work:
        self._world.catch_up()
        return _Work(asyncio.get_running_loop().create_future(), load)

    def _transcoded(self, work: _Work) -> None:
        self._shared.change_load(-work.load)
        work.end()
