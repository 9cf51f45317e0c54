from __future__ import annotations

import asyncio

import pytest

from deploy.page.feed import Feed, FullError


def test_one_look_serves_all_watchers_and_nobody_is_looked_for_when_none_is_there() -> None:
    async def run() -> None:
        looks = 0

        async def look() -> str:
            nonlocal looks
            looks += 1
            return f"{looks}"

        feed = Feed(look, period_s=0.01, most=2)
        first, second = feed.watch(), feed.watch()
        assert await anext(first) == "event: cluster\ndata: 1\n\n"
        await anext(second)
        with pytest.raises(FullError, match="2 pages"):
            feed.watch()
        while "data: 5" not in await anext(first):
            pass
        await anext(second)  # it has missed states, and is given the latest
        assert looks < 20
        await first.aclose()
        await second.aclose()
        await asyncio.sleep(0.1)
        before = looks
        await asyncio.sleep(0.1)
        assert looks == before
        again = feed.watch()
        assert await anext(again) == f"event: cluster\ndata: {before + 1}\n\n"
        await again.aclose()
        await feed.close()

    asyncio.run(run())


def test_a_controller_that_is_away_is_told_in_words() -> None:
    async def run() -> None:
        async def look() -> str:
            raise RuntimeError('away "for now"\n')

        feed = Feed(look, period_s=0.01)
        stream = feed.watch()
        assert await anext(stream) == 'event: away\ndata: "away \\"for now\\"\\n"\n\n'
        await stream.aclose()
        await feed.close()

    asyncio.run(run())
