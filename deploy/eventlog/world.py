"""What a log's reader must know to rebuild the cluster: in the line of the controller's start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from env.catalog import Catalog, load_catalog
from env.config import Profile, profile_from_dict
from env.dispatch import Discipline
from env.errors import ConfigError

_PROFILE: Final = TypeAdapter(Profile)
_DISCIPLINE: Final[TypeAdapter[Discipline]] = TypeAdapter(Discipline)
_NAMES: Final = TypeAdapter(tuple[str, ...])
_FOR_PEOPLE: Final = {"description", "provenance"}


@dataclass(frozen=True, slots=True)
class World:
    """The data centre that a controller served.

    Attributes:
        profile: with the nodes, flavors and limits that the worker manager found.
        catalog: the movies whose properties were known.
        catalog_name: as it is loaded, a name or a path.
        boot_s: expected boot time, seconds.
        discipline: in which order waiting jobs are served.
        image_nodes: nodes that have held the worker image since an earlier life.
    """

    profile: Profile
    catalog: Catalog
    catalog_name: str
    boot_s: float
    discipline: Discipline
    image_nodes: tuple[str, ...] = ()


def world_keys(
    profile: Profile,
    catalog_name: str,
    boot_s: float,
    discipline: Discipline,
    image_nodes: Sequence[str] = (),
) -> dict[str, str]:
    """The keys that `read_world` reads, for the event log."""
    plain = _PROFILE.dump_python(profile, mode="json", exclude=_FOR_PEOPLE)
    return {
        "profile": json.dumps(plain, separators=(",", ":")),
        "catalog": catalog_name,
        "boot_s": repr(boot_s),
        "discipline": discipline,
        "image_nodes": json.dumps(list(image_nodes), separators=(",", ":")),
    }


def read_world(keys: Mapping[str, str], source: str) -> World | None:
    """The world of a log line, none if the line tells of none.

    Args:
        keys: of the line.
        source: what to call it in an error.

    Raises:
        ConfigError: it tells of one that cannot be read.
        ScenarioError, UnknownNameError: its catalog is not there (any more).
    """
    if "profile" not in keys:
        return None
    try:
        plain = json.loads(keys["profile"])
        catalog_name, boot_s = keys["catalog"], float(keys["boot_s"])
        discipline = _DISCIPLINE.validate_python(keys["discipline"])
        image_nodes = _NAMES.validate_json(keys.get("image_nodes", "[]"))
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"{source}: what it tells of the data centre is damaged: {error!r}"
        ) from None
    if not isinstance(plain, dict):
        raise ConfigError(f"{source}: its profile is not a table")
    return World(
        profile_from_dict(plain, source),
        load_catalog(catalog_name),
        catalog_name,
        boot_s,
        discipline,
        image_nodes,
    )
