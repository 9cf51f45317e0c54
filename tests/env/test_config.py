"""Profiles: what ships loads; whatever is wrong in a file is named in one line."""

from __future__ import annotations

import copy
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import env
from env.cluster import Cluster
from env.config import load_profile, profile_from_dict, profile_names
from env.errors import ConfigError, IllegalEventError, UnknownNameError
from tests.env.worlds import make_profile

Table = dict[str, Any]
Key = tuple[str | int, ...]

FOLDER = Path(env.__file__).parent / "profiles"
FULL: Table = tomllib.loads((FOLDER / "openstack.toml").read_text(encoding="utf-8"))
FULL.pop("provenance", None)  # the one table that may hold anything
FULL["cluster"] |= {"max_workers": 7, "max_vcpus": 12, "max_ram_gib": 20.5}
FULL["faults"] = {"spawn_failure": 0.1, "worker_loss_per_hour": 0.2, "transcode_error": 0.3}


def leaves(data: Any, key: Key = ()) -> Iterator[Key]:
    """Every key of the profile that holds a plain value."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from leaves(value, (*key, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from leaves(value, (*key, index))
    else:
        yield key


def written(key: Key) -> str:
    """As a reader of TOML would name it."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def table_at(data: Table, key: Key) -> Any:
    for part in key:
        data = data[part]  # type: ignore[index]
    return data


def changed(key: Key, value: object) -> Table:
    data = copy.deepcopy(FULL)
    table_at(data, key[:-1])[key[-1]] = value
    return data


def refusal(data: Any) -> str:
    """The message of the error, which must be one line and name the source."""
    with pytest.raises(ConfigError) as caught:
        profile_from_dict(data, "my.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("my.toml: ")
    return message.removeprefix("my.toml: ")


KEYS = list(leaves(FULL))
NUMBERS = [key for key in KEYS if type(table_at(FULL, key)) in (int, float)]
TEXTS = [key for key in KEYS if isinstance(table_at(FULL, key), str)]
SIGNED = {"intercept", "parallel_slope", "pixels_curvature"}
WHOLE = {"cores", "vcpus", "max_workers"}


def ids(keys: list[Key]) -> list[str]:
    return [written(key) for key in keys]


# -- what ships -----------------------------------------------------------------------


def test_the_shipped_profiles_load_under_their_names() -> None:
    assert profile_names() == ["kubernetes", "local", "openstack"]
    for name in profile_names():
        profile = load_profile(name)
        assert profile.name == name
        assert load_profile(FOLDER / f"{name}.toml") == profile
        assert load_profile(str(FOLDER / f"{name}.toml")) == profile
        assert profile.description
        schedulable = [
            node.cores * profile.cluster.vcpu_overcommit for node in profile.cluster.nodes
        ]
        assert schedulable == ([6] if name == "local" else [6, 6, 6])
        assert [flavor.name for flavor in profile.cluster.flavors] == [
            "s10.tiny",
            "s10.small",
            "s10.medium",
        ]
        assert profile.faults.spawn_failure == 0.0


def test_a_profile_is_frozen() -> None:
    profile = load_profile("openstack")
    with pytest.raises(FrozenInstanceError):
        profile.tick_s = 1.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        profile.timing.boot.median_s = 1.0  # type: ignore[misc]


def test_a_copy_with_changes_is_checked_too() -> None:
    boot = load_profile("openstack").timing.boot
    assert replace(boot, median_s=np.float64(3.0)).median_s == 3.0
    with pytest.raises(ValueError, match="median_s"):
        replace(boot, median_s=-3.0)


def test_the_full_profile_of_these_tests_is_valid() -> None:
    profile = profile_from_dict(FULL, "my.toml")
    assert profile.cluster.max_workers == 7
    assert profile.faults.transcode_error == 0.3


# -- each key -------------------------------------------------------------------------


@pytest.mark.parametrize("key", NUMBERS, ids=ids(NUMBERS))
@pytest.mark.parametrize("value", ["2", "fast", True, math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number(key: Key, value: object) -> None:
    message = refusal(changed(key, value))
    assert message.startswith(f"{written(key)}: ")
    assert f"(got {value!r})" in message


@pytest.mark.parametrize("key", NUMBERS, ids=ids(NUMBERS))
def test_a_negative_number(key: Key) -> None:
    if key[-1] in SIGNED:
        profile_from_dict(changed(key, -1), "my.toml")
    else:
        message = refusal(changed(key, -1))
        assert message.startswith(f"{written(key)}: ")
        assert "(got -1)" in message


@pytest.mark.parametrize(
    "key", whole := [key for key in NUMBERS if key[-1] in WHOLE], ids=ids(whole)
)
@pytest.mark.parametrize("value", [0, 1.5, 10**400])
def test_what_is_not_a_count(key: Key, value: object) -> None:
    assert refusal(changed(key, value)).startswith(f"{written(key)}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("tick_s",), 0),
        (("cluster", "vcpu_overcommit"), 0),
        (("cluster", "ram_overcommit"), 0.0),
        (("cluster", "nodes", 0, "ram_gib"), 0),
        (("cluster", "flavors", 1, "ram_gib"), 1e-6),
        (("timing", "boot", "median_s"), 0),
        (("timing", "boot", "crowd_limit"), 0.99),
        (("timing", "transcode", "fast_factor"), 0),
        (("timing", "transcode", "typical_source_mbps"), 0),
        (("timing", "transcode", "parallel_exponent"), 1.01),
        (("timing", "contention", "knee_share"), 1.01),
        (("faults", "spawn_failure"), 1.01),
        (("faults", "transcode_error"), 2),
        (("image_cached",), "yes"),
        (("image_cached",), 1),
        (("name",), ""),
        (("cluster", "nodes", 2, "name"), "n" * 101),
    ],
    ids=str,
)
def test_a_value_out_of_range(key: Key, value: object) -> None:
    message = refusal(changed(key, value))
    assert message.startswith(f"{written(key)}: ")
    assert f"(got {value!r})" in message


@pytest.mark.parametrize("key", TEXTS, ids=ids(TEXTS))
@pytest.mark.parametrize("value", [3, False])
def test_what_is_not_text(key: Key, value: object) -> None:
    message = refusal(changed(key, value))
    assert message.startswith(f"{written(key)}: ")
    assert f"(got {value!r})" in message


@pytest.mark.parametrize("key", KEYS, ids=ids(KEYS))
def test_a_table_where_a_value_belongs(key: Key) -> None:
    assert refusal(changed(key, {"a": 1})).startswith(f"{written(key)}")


TABLES = sorted({key[:-1] for key in KEYS}, key=written)


@pytest.mark.parametrize("table", TABLES, ids=ids(TABLES))
def test_an_unknown_key(table: Key) -> None:
    message = refusal(changed((*table, "medain_s"), 3))
    assert message.startswith(f"{written((*table, 'medain_s'))}: ")


@pytest.mark.parametrize("table", [key for key in TABLES if key], ids=ids(TABLES[1:]))
def test_a_value_where_a_table_belongs(table: Key) -> None:
    message = refusal(changed(table, 3))
    assert message.startswith(f"{written(table)}: ")
    assert "(got 3)" in message


def test_an_unknown_key_with_a_line_break_stays_one_line() -> None:
    assert "new\\nkey" in refusal(changed(("timing", "new\nkey"), 1))


@pytest.mark.parametrize(
    "key",
    [
        ("name",),
        ("cluster",),
        ("timing",),
        ("cluster", "nodes"),
        ("cluster", "flavors"),
        ("cluster", "nodes", 1, "cores"),
        ("cluster", "flavors", 0, "vcpus"),
        ("timing", "boot"),
        ("timing", "boot", "median_s"),
        ("timing", "transcode"),
        ("timing", "transcode", "intercept"),
    ],
    ids=written,
)
def test_a_missing_key(key: Key) -> None:
    data = copy.deepcopy(FULL)
    del table_at(data, key[:-1])[key[-1]]
    assert refusal(data).startswith(f"{written(key)}: Field required")


def test_the_provenance_may_hold_anything() -> None:
    provenance = {"runs": ["a", "b"], "boot": {"n": 62}}
    profile = profile_from_dict({**FULL, "provenance": provenance}, "my.toml")
    assert profile.provenance == provenance


def test_what_is_left_out_does_nothing() -> None:
    """No scatter, transfers, crowding or faults unless the file says so."""
    profile = profile_from_dict(
        {
            "name": "least",
            "cluster": {
                "nodes": [{"name": "n", "cores": 4, "ram_gib": 8}],
                "flavors": [{"name": "f", "vcpus": 1, "ram_gib": 2}],
            },
            "timing": {
                "boot": {"median_s": 10},
                "transcode": {
                    "intercept": 0,
                    "duration_exponent": 1,
                    "pixels_exponent": 1,
                    "fast_factor": 2,
                },
            },
        },
        "my.toml",
    )
    timing, cluster, faults = profile.timing, profile.cluster, profile.faults
    assert (timing.boot.sigma, timing.boot.first_on_node_s, timing.boot.crowd_slope) == (0, 0, 0)
    assert timing.boot.crowd_limit == 1.0
    assert (timing.stop.median_s, timing.stop.sigma) == (0.0, 0.0)
    for transfer in (timing.download, timing.upload):
        assert (transfer.base_s, transfer.per_megabyte_s, transfer.sigma) == (0.0, 0.0, 0.0)
    assert (timing.transcode.sigma, timing.transcode.source_mbps_exponent) == (0.0, 0.0)
    assert timing.contention.slope_per_core == 0.0
    assert (cluster.vcpu_overcommit, cluster.ram_overcommit) == (1.0, 1.0)
    assert (cluster.max_workers, cluster.max_vcpus, cluster.max_ram_gib) == (None, None, None)
    assert cluster.placement == "least-loaded"
    assert (faults.spawn_failure, faults.worker_loss_per_hour, faults.transcode_error) == (0, 0, 0)
    assert profile.tick_s == 5.0
    assert not profile.image_cached


def test_several_errors_are_counted() -> None:
    data = changed(("tick_s",), -1)
    data["timing"]["boot"]["median_s"] = "x"
    data["cluster"]["placement"] = "anywhere"
    assert refusal(data).endswith("; and 2 more")


# -- what must fit together -----------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (("nodes",), [], "cluster.nodes"),
        (("flavors",), [], "cluster.flavors"),
        (("placement",), "random", "cluster.placement: .*'least-loaded', 'spread'.*'random'"),
        (("nodes", 1, "name"), "compute1", "cluster: nodes: the name 'compute1' is used twice"),
        (("flavors", 2, "name"), "s10.tiny", "cluster: flavors: the name 's10.tiny' is used twice"),
        (("flavors", 0, "vcpus"), 3, r"cluster: flavors: order them by vcpus.*\[3, 2, 4\]"),
        (("flavors", 2, "vcpus"), 7, "cluster: flavors: 's10.medium' is larger than every node"),
        (("flavors", 2, "ram_gib"), 17, "cluster: flavors: 's10.medium' is larger than every node"),
        (("max_vcpus",), 0.5, "cluster: max_vcpus: 0.5 leaves no room for any flavor"),
        (("max_ram_gib",), 1.9, "cluster: max_ram_gib: 1.9 leaves no room for any flavor"),
    ],
)
def test_nodes_flavors_and_limits(key: Key, value: object, says: str) -> None:
    assert re.match(says, refusal(changed(("cluster", *key), value)))


def test_over_commit_counts_when_a_flavor_is_checked() -> None:
    with pytest.raises(ConfigError, match="larger than every node"):
        make_profile(nodes=[(4, 8.0)], flavors=[(8, 8.0)])
    make_profile(nodes=[(4, 8.0)], flavors=[(8, 8.0)], cluster={"vcpu_overcommit": 2.0})
    with pytest.raises(ConfigError, match="larger than every node"):
        make_profile(nodes=[(4, 8.0)], flavors=[(4, 12.0)])
    make_profile(nodes=[(4, 8.0)], flavors=[(4, 12.0)], cluster={"ram_overcommit": 1.5})


@pytest.mark.parametrize(
    ("limits", "holds"),
    [
        ({}, [18, 9, 3]),
        ({"max_workers": 4}, [4, 4, 3]),
        ({"max_vcpus": 5}, [5, 2, 1]),
        ({"max_vcpus": 3}, [3, 1, 0]),
        ({"max_ram_gib": 2}, [1, 0, 0]),
        ({"max_ram_gib": 8.5}, [4, 2, 1]),
        ({"max_vcpus": 100, "max_ram_gib": 1000, "max_workers": 1000}, [18, 9, 3]),
        ({"vcpu_overcommit": 2.0}, [24, 12, 6]),
        ({"vcpu_overcommit": 2.0, "ram_overcommit": 1.5}, [36, 18, 9]),
        ({"max_workers": 10, "max_vcpus": 12, "max_ram_gib": 14.0}, [7, 3, 1]),
    ],
)
def test_limits_are_respected(limits: Table, holds: list[int]) -> None:
    """Nodes of 6 cores and 16 GiB, 2 GiB a vCPU: RAM allows 8, 4 and 2 on a node."""
    profile = make_profile(cluster=limits)
    for flavor, expected in enumerate(holds):
        cluster = Cluster(profile)
        assert cluster.capacity_of(flavor) == expected
        spawned = 0
        while cluster.can_spawn(flavor):
            cluster.worker_spawned(0.0, spawned, flavor)
            spawned += 1
        assert spawned == expected
        with pytest.raises(IllegalEventError, match="no room for flavor"):
            cluster.worker_spawned(0.0, "one more", flavor)


# -- files ----------------------------------------------------------------------------


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown profile 'openstak': did you mean 'openstack'"
    ):
        load_profile("openstak")
    with pytest.raises(
        UnknownNameError, match="unknown profile 'zzz': known: kubernetes, local, open"
    ):
        load_profile("zzz")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no.toml"
    with pytest.raises(ConfigError, match=r"profile file .*no\.toml' does not exist"):
        load_profile(path)
    for name in (str(tmp_path), "folder/name", "no.toml"):
        with pytest.raises(ConfigError, match="does not exist"):
            load_profile(name)


def test_a_name_that_no_file_system_takes() -> None:
    with pytest.raises(ConfigError, match="File name too long"):
        load_profile("x" * 5000)


@pytest.mark.parametrize("text", [b"name = ", b"[a]\n[a]\n", b"name = '\xff\xfe'", b"a = 1\x00"])
def test_a_file_that_is_not_toml(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        load_profile(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[tool]\nx = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"other\.toml: name: Field required"):
        load_profile(path)
    with pytest.raises(ConfigError, match="the profile: "):
        profile_from_dict([], "my.toml")  # type: ignore[arg-type]
