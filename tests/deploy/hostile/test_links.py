"""A link that leads out of the storage, or in a circle, is no video; it says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.grpc_api.reasons import FRONT_END_KEY, REASON_KEY, STRICT
from tests.deploy.live_controller import controller_in


@pytest.mark.parametrize(("name", "words"), [("out.mp4", "leads out"), ("loop.mp4", "in a circle")])
def test_a_job_for_a_misleading_link_is_not_found(tmp_path: Path, name: str, words: str) -> None:
    async def story() -> None:
        async with controller_in(tmp_path) as running:
            inputs = tmp_path / "storage" / "input-videos"
            (inputs / "out.mp4").symlink_to("/etc/hostname")
            (inputs / "loop.mp4").symlink_to(inputs / "loop.mp4")
            request = pb.TCRequest(
                input_video=name, output_video=f"out-{name}", bitrate=1000, speed="fast"
            )
            call = running.stub.submit_request(request, metadata=((FRONT_END_KEY, STRICT),))
            reply = await call
            assert not reply.success
            assert words in reply.error_message
            assert (await call.trailing_metadata())[REASON_KEY] == "not-found"

    asyncio.run(story())
