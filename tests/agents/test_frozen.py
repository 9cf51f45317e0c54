"""A frozen policy: made by hand here, so that every number is known."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from agents.frozen import CARD_FILE, NETWORK_FILE, FrozenPolicy
from agents.registry import make_policy, model_names
from env.actions import action_from_index, n_actions
from env.catalog import load_catalog
from env.config import Profile, load_profile
from env.errors import DaCircoError, PolicyError
from env.families import FAMILIES, draw_requests
from env.metrics import measure
from env.observation import Observer, action_mask, features, schema
from env.simulator import Simulator

FLAVORS = ["s10.tiny", "s10.small", "s10.medium"]
N_FEATURES = len(features(FLAVORS))
ACTIONS = n_actions(len(FLAVORS))


def linear_network(weights: NDArray[np.float32], bias: NDArray[np.float32]) -> bytes:
    """``observation @ weights + bias`` as ONNX."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["observation", "weights", "bias"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(bias)])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


def weights_and_bias() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A network that spawns where workers lack and kills where they abound, with whims."""
    weights = np.random.default_rng(0).normal(0.0, 0.1, (N_FEATURES, ACTIONS)).astype(np.float32)
    balance = [feature.name for feature in features(FLAVORS)].index("balance")
    weights[balance, 1:4] -= 5.0
    weights[balance, 4:] += 5.0
    bias = np.zeros(ACTIONS, dtype=np.float32)
    bias[0] = 0.5
    return weights, bias


def write_policy(folder: Path, network: bytes, **changes: Any) -> Path:
    """A frozen policy with a card that fits, but for the changes."""
    folder.mkdir(parents=True)
    (folder / NETWORK_FILE).write_bytes(network)
    card = {
        "discipline": "sjf",
        "schema": schema(FLAVORS),
        "files": {NETWORK_FILE: {"sha256": hashlib.sha256(network).hexdigest()}},
        **changes,
    }
    (folder / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    return write_policy(tmp_path / "models" / "linear", linear_network(*weights_and_bias()))


def simulation(profile: Profile | None = None, discipline: str = "sjf") -> Simulator:
    """Half an hour of Poisson arrivals."""
    rng = np.random.default_rng(5)
    movies = load_catalog()
    requests = draw_requests(FAMILIES["poisson"](0.05), rng, movies, 1800.0)
    where = profile or load_profile("openstack")
    return Simulator(where, requests, movies, seed=1, discipline=discipline, limit_s=2000.0)


# -- what it decides ----------------------------------------------------------------------


def test_logits_are_those_of_the_network(frozen: Path) -> None:
    weights, bias = weights_and_bias()
    rows = np.random.default_rng(1).random((9, N_FEATURES), dtype=np.float32)
    assert FrozenPolicy(frozen).logits(rows) == pytest.approx(rows @ weights + bias, abs=1e-5)


def test_decides_by_the_likeliest_action_that_can_be_carried_out(frozen: Path) -> None:
    policy, simulator = FrozenPolicy(frozen), simulation()
    weights, bias = weights_and_bias()
    cluster = simulator.cluster
    policy.reset(cluster)
    row = np.zeros(N_FEATURES, dtype=np.float32)
    mask = np.zeros(ACTIONS, dtype=np.bool_)
    observer = Observer(cluster)
    seen, masked = set(), 0
    while simulator.advance():
        observer.write(row)
        action_mask(cluster, mask)
        logits = row @ weights + bias
        masked += not mask[logits.argmax()]
        expected = action_from_index(int(np.where(mask, logits, -np.inf).argmax()), 3)
        assert policy.act(cluster) == expected
        assert cluster.can(expected)
        seen.add(expected)
        simulator.apply(expected)
    assert len(seen) > 2
    assert masked > 0  # the mask mattered


def test_never_orders_what_cannot_be_carried_out(frozen: Path) -> None:
    simulator = simulation()
    simulator.run(FrozenPolicy(frozen))
    assert simulator.invalid_actions == 0


def test_does_the_same_each_time_and_in_each_cluster(frozen: Path) -> None:
    policy = FrozenPolicy(frozen)
    figures = []
    for other in (policy, policy, FrozenPolicy(frozen)):
        simulator = simulation()
        simulator.run(other)
        figures.append(measure(simulator))
    assert figures[0] == figures[1] == figures[2]


def test_serves_a_cluster_that_it_was_not_reset_for(frozen: Path) -> None:
    policy, one, two = FrozenPolicy(frozen), simulation(), simulation()
    policy.reset(one.cluster)
    for _ in range(30):
        one.advance()
        two.advance()
        two.apply(policy.act(two.cluster))
    fresh = FrozenPolicy(frozen)
    fresh.reset(two.cluster)
    assert policy.act(two.cluster) == fresh.act(two.cluster)


@pytest.mark.parametrize("discipline", ["fcfs", "sjf"])
def test_the_discipline_is_the_cards(tmp_path: Path, discipline: str) -> None:
    network = linear_network(*weights_and_bias())
    policy = FrozenPolicy(write_policy(tmp_path / "p", network, discipline=discipline))
    assert policy.discipline == discipline


def test_its_name_makes_it_again(frozen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(frozen.parents[1])
    policy = make_policy("models/linear")
    assert policy.spec == "models/linear"
    assert isinstance(make_policy(policy.spec), FrozenPolicy)
    assert FrozenPolicy(frozen, name="mine").name == "mine"
    (frozen.parent / ".export-x1").mkdir()
    assert model_names() == ["models/linear"]


def test_needs_neither_torch_nor_pickle(frozen: Path) -> None:
    code = (
        "import sys\n"
        "from agents.registry import make_policy\n"
        "from env.catalog import load_catalog\n"
        "from env.config import load_profile\n"
        "from env.scenario import load_split\n"
        "from env.simulator import Simulator\n"
        "requests = load_split('train')[0].requests[:20]\n"
        "simulator = Simulator(load_profile('openstack'), requests, load_catalog(), limit_s=900)\n"
        "simulator.run(make_policy(sys.argv[1]))\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(simulator.cluster.now > 0, sorted(loaded & {'torch', 'sb3_contrib', 'training'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(frozen)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "True []"
    assert done.stderr == ""


# -- what it refuses ----------------------------------------------------------------------


def refused(folder: Path) -> str:
    """The message with which a frozen policy is refused."""
    with pytest.raises(PolicyError) as error:
        FrozenPolicy(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_changed_byte_is_found(frozen: Path, position: int) -> None:
    path = frozen / NETWORK_FILE
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    message = refused(frozen)
    assert str(path) in message
    assert "sha256" in message


def test_a_network_cut_short_is_found(frozen: Path) -> None:
    path = frozen / NETWORK_FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in refused(frozen)


@pytest.mark.parametrize(
    "network", [b"", b"not onnx at all", linear_network(*weights_and_bias())[:-20]]
)
def test_a_corrupt_network_with_its_hash_is_found(tmp_path: Path, network: bytes) -> None:
    folder = write_policy(tmp_path / "p", network)
    assert f"{folder / NETWORK_FILE} cannot be loaded" in refused(folder)


def test_a_network_of_another_size_is_found(tmp_path: Path) -> None:
    narrow = linear_network(np.zeros((3, ACTIONS), np.float32), np.zeros(ACTIONS, np.float32))
    few = linear_network(np.zeros((N_FEATURES, 3), np.float32), np.zeros(3, np.float32))
    for i, network in enumerate((narrow, few)):
        folder = write_policy(tmp_path / str(i), network)
        assert "does not have the inputs and outputs" in refused(folder)


def test_a_missing_file_is_named(frozen: Path) -> None:
    (frozen / NETWORK_FILE).unlink()
    assert f"{NETWORK_FILE} is missing" in refused(frozen)
    (frozen / CARD_FILE).unlink()
    assert f"{frozen} is not a frozen policy: {CARD_FILE} is missing" in refused(frozen)
    shutil.rmtree(frozen)
    assert CARD_FILE in refused(frozen)


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    """Removes a key of the card."""

    def change(card: dict[str, Any]) -> None:
        for key in keys[:-1]:
            card = card[key]
        del card[keys[-1]]

    return change


def with_value(value: Any, *keys: str) -> Callable[[dict[str, Any]], None]:
    """Changes a value of the card."""

    def change(card: dict[str, Any]) -> None:
        for key in keys[:-1]:
            card = card[key]
        card[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("schema"),
        without("schema", "sha256"),
        without("schema", "observation"),
        without("schema", "actions"),
        without("files"),
        without("files", NETWORK_FILE),
        without("files", NETWORK_FILE, "sha256"),
        without("discipline"),
        with_value(None, "schema"),
        with_value(5, "schema", "sha256"),
        with_value("keep", "schema", "actions"),
        with_value(7, "schema", "observation"),
        with_value(None, "files", NETWORK_FILE, "sha256"),
        with_value("longest first", "discipline"),
        with_value(["sjf"], "discipline"),
        with_value(None, "discipline"),
    ],
)
def test_a_card_with_something_missing_or_wrong_is_named(
    frozen: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    path = frozen / CARD_FILE
    card = json.loads(path.read_text(encoding="utf-8"))
    change(card)
    path.write_text(json.dumps(card), encoding="utf-8")
    assert str(path) in refused(frozen)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[[]]", b'"card"', b"null", b"\xff\xfe"])
def test_a_corrupt_card_is_named(frozen: Path, content: bytes) -> None:
    path = frozen / CARD_FILE
    path.write_bytes(content)
    assert f"{path} is not a policy's card" in refused(frozen)


@pytest.mark.parametrize("ask", ["reset", "act"])
def test_another_schema_is_refused_with_both_hashes(tmp_path: Path, ask: str) -> None:
    other = schema(["s10.tiny", "s10.small", "s10.large"])
    folder = write_policy(tmp_path / "p", linear_network(*weights_and_bias()), schema=other)
    policy, cluster = FrozenPolicy(folder), simulation().cluster
    with pytest.raises(PolicyError, match="schema") as error:
        getattr(policy, ask)(cluster)
    for told in (str(folder), other["sha256"][:12], schema(FLAVORS)["sha256"][:12], "s10.medium"):
        assert told in str(error.value)


def test_a_changed_schema_hash_is_refused(tmp_path: Path) -> None:
    changed = {**schema(FLAVORS), "sha256": "0" * 64}
    folder = write_policy(tmp_path / "p", linear_network(*weights_and_bias()), schema=changed)
    with pytest.raises(PolicyError, match="000000000000"):
        simulation().run(FrozenPolicy(folder))


def test_a_cluster_of_another_size_is_served(frozen: Path) -> None:
    home = load_profile("openstack")
    nodes = home.cluster.nodes * 4
    nodes = tuple(replace(node, name=f"n{i}") for i, node in enumerate(nodes))
    large = replace(home, cluster=replace(home.cluster, nodes=nodes))
    simulator = simulation(large)
    simulator.run(FrozenPolicy(frozen))
    assert measure(simulator).boots > 0


def test_refusals_are_the_users_errors(frozen: Path) -> None:
    (frozen / CARD_FILE).unlink()
    with pytest.raises(DaCircoError):
        make_policy(str(frozen))
