"""A controller in a folder whose look at results takes as long as the file `hold` is there."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from deploy.managers.base import SpawnOrder
from deploy.storage.base import StoredObject
from deploy.storage.directory import DirectoryStorage
from env.textfile import write_atomically
from tests.deploy.live_controller import TestCloud, controller_in


async def run(folder: Path) -> None:
    """Tell the port, and serve until killed; the cloud's workers outlive the process."""
    cloud, known = TestCloud(), folder / "workers.json"
    if known.exists():
        for worker_id, name, flavor, secret in json.loads(known.read_text()):
            kind = next(each for each in cloud.cluster.flavors if each.name == flavor)
            cloud.workers[worker_id] = SpawnOrder(worker_id, name, kind, secret=secret)

    async def remember(order: SpawnOrder) -> None:
        orders = [*cloud.workers.values(), order]
        rows = [(o.worker_id, o.name, o.flavor.name, o.presented_id) for o in orders]
        write_atomically(known, json.dumps(rows))

    cloud.on_spawn = remember
    stat = DirectoryStorage.stat

    def slow(storage: DirectoryStorage, key: str) -> StoredObject:
        if key.startswith("job-results"):
            (folder / "looking").touch()
            while (folder / "hold").exists():
                time.sleep(0.01)
        return stat(storage, key)

    DirectoryStorage.stat = slow  # type: ignore[method-assign,assignment]
    async with controller_in(folder, cloud) as running:
        await running.controller.ready.wait()
        print(running.controller.grpc_port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
