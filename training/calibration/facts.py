"""What a catalog knows of the videos that tasks worked on."""

from __future__ import annotations

import pandas as pd

from env.catalog import Catalog
from training.calibration.errors import CalibrationError


def add_video_facts(tasks: pd.DataFrame, catalog: Catalog, source: str) -> pd.DataFrame:
    """Add the columns ``duration_s, width, height, size_bytes`` to tasks.

    Args:
        tasks: with the column ``video``; empty where it is not known.
        catalog: the videos.
        source: what to call the tasks in an error.

    Raises:
        CalibrationError: the catalog lacks a video.
    """
    names = sorted(set(tasks["video"]) - {""})
    for name in names:
        if name not in catalog:
            raise CalibrationError(
                f"{source}: the catalog {catalog.name!r} lacks the video {name!r}: "
                "pass --catalog FILE.csv with its duration, width and height"
            )
    movies = [catalog[name] for name in names]
    facts = pd.DataFrame(
        {
            "duration_s": [movie.duration_s for movie in movies],
            "width": [movie.width for movie in movies],
            "height": [movie.height for movie in movies],
            "size_bytes": [movie.size_bytes for movie in movies],
        },
        index=pd.Index(names, name="video"),
    )
    return tasks.join(facts, on="video")
