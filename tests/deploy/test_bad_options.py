"""No value of any option of any command ends in a traceback.

The options are found by asking each command's own parser, so new ones are tried, too. Every command
does its real work with each value; only what would never end by itself is ended as soon as it runs:
the controller when it is ready, the Job API when it listens, the worker when it would register.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

import deploy.controller.app as app
from deploy.worker.worker import Worker
from env.command import UsageError

ROOT = Path(__file__).parents[2]
SCRIPTS: Final[dict[str, str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "scripts"
]
MODULES: Final = {
    "python -m agents": "agents.__main__:main",
    "python -m deploy.catalog": "deploy.catalog:main",
    "python -m deploy.replay": "deploy.replay.__main__:main",
    "python -m deploy.shadow_cost": "deploy.shadow_cost:main",
}
COMMANDS: Final = SCRIPTS | MODULES
NAMES: Final = {*COMMANDS, "catalog"}
"""With which a command begins what it says of bad input."""
QUICK: Final[dict[str, str]] = {
    "dacirco": "submit --input-video a.mp4 -p 1",
    "dacirco_client": "--input-video a.mp4 -p 1",
    "dacirco_controller": "-r simulated -p 0 --http-port 0 --event-log-file log.txt",
    "dacirco_generate_scenario": "-n 2",
    "dacirco_get_node_stats": "table.csv -s 127.0.0.1:1",
    "dacirco_process_log": "log.txt",
    "dacirco_process_logs": "log.txt",
    "dacirco_rest_api": "-p 0",
    "dacirco_rest_monitor": "-p 1 --once",
    "dacirco_scenario": "-p 1",
    "dacirco_tc_worker": "--grpc-server 127.0.0.1 --grpc-port 1 --name w --id i --storage .",
    "dacirco_wait_scenario": "one.csv --api-port 1",
    "python -m deploy.catalog": "--catalog none.csv",
    "python -m deploy.replay": "log.txt",
    "python -m deploy.shadow_cost": "log.txt --policy minimize-workers",
}
"""Words with which a command ends soon."""
FOR_OTHER_RUNNERS: Final = ("--os-", "--minio-access", "--minio-server", "--minio-port")
"""Names that a simulated controller does not look at."""

VALUES: Final = (
    *("0", "-1", "nan", "1e400", "", "9" * 30, "x" * 5000, "\udcff"),
    *("no/such/file", ".", "latin.bin", "[::1", "s3://[x", "a:b=c:d", "a,,b"),
)
FOR_THE_CONTROLLER: Final = ("0", "-1", "", "9" * 30, "x" * 5000, "\udcff", ".", "[::1")
"""It starts with each value that it takes, which costs a moment."""


def main_of(command: str) -> Callable[[list[str]], int]:
    module, _, function = COMMANDS[command].partition(":")
    main: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return main


def options_of(command: str) -> list[argparse.Action]:
    """The options and arguments that take a value."""
    found: list[argparse.ArgumentParser] = []

    def notice(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        found.append(parser)
        raise UsageError("only asking")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", notice)
        main_of(command)([])
    return [action for action in found[0]._actions if action.nargs != 0]


def close_handlers(handlers: Iterable[logging.Handler] = (), **_: object) -> None:
    """Pytest's own logging stays in charge."""
    for handler in handlers:
        handler.close()


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a few files, and programs that end when they run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.bin").write_bytes(b"\xff\xfe\x00abc\n")
    (tmp_path / "one.csv").write_text("0,a.mp4,500,fast\n")
    (tmp_path / "table.csv").write_text("")

    async def run_until_ready(settings: Any, _announce: object) -> None:
        async with app.running_controller(settings) as controller:
            await controller.ready.wait()

    async def nothing(_self: Worker) -> None:
        pass

    monkeypatch.setattr(app, "run_controller", run_until_ready)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    monkeypatch.setattr(Worker, "run", nothing)
    monkeypatch.setattr(logging, "basicConfig", close_handlers)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_value_of_an_option_ends_in_a_traceback(
    command: str, ending: None, capsys: pytest.CaptureFixture[str]
) -> None:
    name, main = command.partition(" ")[0], main_of(command)
    actions = options_of(command)
    capsys.readouterr()
    assert actions
    given = QUICK.get(command, "").split()
    for action in actions:
        option = action.option_strings[-1] if action.option_strings else ""
        if option.startswith(FOR_OTHER_RUNNERS) and name == "dacirco_controller":
            continue
        for value in FOR_THE_CONTROLLER if name == "dacirco_controller" else VALUES:
            Path("log.txt").write_text("")
            words = [*given, f"{option}={value}"] if option else [value, *given[1:]]
            code = main(words)
            _, err = capsys.readouterr()
            what = f"{command} {option} {value[:30]!r}: {err[-2000:]}"
            assert code in (0, 2), what
            assert "Traceback" not in err, what
            told = [line for line in err.splitlines() if line.partition(":")[0] in NAMES]
            assert len(told) == (code == 2), what
            assert all(len(line) < 2500 for line in told), what


def test_the_options_are_found() -> None:
    names = {
        option for action in options_of("dacirco_controller") for option in action.option_strings
    }
    assert {"--pod-cpus", "--vm-params-file", "--preference", "-r", "--store"} <= names
    assert all(QUICK.get(command) is not None for command in SCRIPTS)
