from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
import requests

from deploy import up
from deploy.chaos.clips import make_clips, write_catalog
from deploy.embedded.child import Child, ChildError
from deploy.embedded.clips import StoppedError, render_missing
from deploy.embedded.commands import controller_command
from deploy.embedded.data_folder import DataFolder
from deploy.embedded.ports import claim
from deploy.embedded.settings import EmbeddedSettings, find_policy
from env.catalog import load_catalog
from env.command import UsageError
from env.errors import DaCircoError
from env.jobs import Request
from tests.deploy.embedded.up_service import Service, wait_for


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.sweep()


@pytest.mark.slow
def test_one_interrupt_ends_it_all_and_the_next_start_goes_on(service: Service) -> None:
    service.start("--preference", "0.3")
    state = service.data.read_state()
    preference = f"{state['controller_url']}/preference"
    assert requests.get(preference, timeout=10).json() == {"preference": 0.3}
    requests.put(preference, json={"preference": 0.8}, timeout=10).raise_for_status()
    with service.api() as api:
        ids = [api.submit(Request(0.0, clip.name, 1000, "fast")) for clip in service.clips]
        # The controller is started again when it dies, and still knows the preference.
        psutil.Process(state["controller"]).kill()
        wait_for(
            lambda: service.data.read_state().get("controller") not in (None, state["controller"]),
            "a new controller",
        )
        wait_for(lambda: _ready(f"{state['controller_url']}/ready"), "it to be ready")
        assert requests.get(preference, timeout=10).json() == {"preference": 0.8}
        assert "starting it again" in service.output
    service.interrupt()
    assert "stopped; start it again" in service.output
    assert service.data.read_state() == {}

    service.start()
    with service.api() as api:
        assert set(api.job_ids()) == set(ids)
        wait_for(lambda: {api.job_state(i) for i in ids} == {"Completed"}, "the jobs' ends")
    results = {path.name for path in (service.data.storage / "output-videos").iterdir()}
    assert results == {f"out-{clip.name}" for clip in service.clips}
    service.interrupt()


def _ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def test_a_port_in_use_is_named_with_the_option_that_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert up.main(["--data", str(tmp_path / "data"), "--rest-port", str(port)]) == 2
    message = capsys.readouterr().err
    assert f"port {port} for the Job API cannot be used" in message
    assert "--rest-port" in message
    assert len(message.strip().splitlines()) == 1


def test_a_folder_has_one_service_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataFolder(tmp_path)
    data.lock()
    try:
        assert up.main(["--data", str(tmp_path)]) == 2
        assert f"already runs in {tmp_path}" in capsys.readouterr().err
    finally:
        data.unlock()
    with (tmp_path / "service.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preference", "2"], "outside"),
        (["--catalog", "nothing"], "unknown catalog"),
        (["--profile", "nothing"], "unknown profile"),
        (["--rest-port", "99999"], "is not a port"),
        (["--max-workers", "0"], "whole number"),
        (["--boot-delay", "-1"], "seconds"),
    ],
)
def test_bad_options_are_one_line_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert up.main(["--data", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DaCircoError, match="cannot make the data folder"):
        DataFolder(tmp_path / "file" / "data")


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        up.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--data", "--scheduler", "--boot-delay"))
    with pytest.raises(UsageError, match="unrecognized"):
        up.settings(["--what"])


def test_the_preference_is_given_only_at_the_first_start(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    given = controller_command(EmbeddedSettings(tmp_path, preference=0.7), data)
    assert given[given.index("--preference") + 1] == "0.7"
    assert "--preference" not in controller_command(EmbeddedSettings(tmp_path), data)
    assert "--cores" not in given
    assert data.storage_url == f"dir://{tmp_path}/storage"


def test_the_shipped_policy_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(find_policy("models/dacirco"), "card.json").is_file()
    assert find_policy("grace-period") == "grace-period"
    assert find_policy("models/none") == "models/none"


def test_port_0_is_one_that_is_free() -> None:
    port = claim(0, "a test", "--port")
    with socket.create_server(("127.0.0.1", port)):
        pass


# -- movies ---------------------------------------------------------------------------


def test_movies_that_are_there_are_not_rendered(tmp_path: Path) -> None:
    clips = make_clips(tmp_path / "storage/input-videos", 1, 0, Random(0))
    write_catalog(tmp_path / "clips.csv", clips)
    before = (tmp_path / "storage/input-videos" / clips[0].name).stat().st_mtime_ns
    render_missing(load_catalog(tmp_path / "clips.csv"), f"dir://{tmp_path}/storage", lambda: False)
    assert (tmp_path / "storage/input-videos" / clips[0].name).stat().st_mtime_ns == before


def test_rendering_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        render_missing(load_catalog("local"), f"dir://{tmp_path}", lambda: True)
    videos = load_catalog("local")
    made = list((tmp_path / "input-videos").glob("*.mp4"))
    assert len(made) < len(videos)


# -- programs that die ----------------------------------------------------------------


def _child(tmp_path: Path, program: str, most_restarts: int = 2) -> Child:
    command = [sys.executable, "-c", program]
    return Child("thing", command, dict(os.environ), tmp_path, tmp_path / "log", most_restarts)


def test_a_program_that_dies_again_and_again_is_tried_less_and_less_often(
    tmp_path: Path,
) -> None:
    child = _child(tmp_path, "import sys; print('no way'); sys.exit(3)")
    child.start()
    wait_for(lambda: not child.alive, "its end")
    with pytest.raises(ChildError, match=r"has ended with code 3: no way"):
        child.check()
    news: list[str] = []

    def tried() -> bool:
        news.extend(filter(None, [child.revive()]))
        return child.restarts == 5

    wait_for(tried, "five tries")
    assert news[:2] == ["thing has ended with code 3; starting it again"] * 2
    assert "code 3 (no way); the next try is in 0.5 s, the rest goes on" in news[2]
    assert news[3] == "starting thing again"
    assert "next try is in 1 s" in news[4]
    assert "next try is in 2 s" in news[6]
    child.stop()


def test_a_program_whose_log_and_file_are_gone_is_tried_again(tmp_path: Path) -> None:
    child = Child("thing", [str(tmp_path / "none")], {}, tmp_path, tmp_path / "no" / "log", 1)
    assert "has not been started; starting it again" in child.revive()
    assert not child.alive
    assert "No such file" in child.revive()
    child.command = [sys.executable, "-c", "import time; time.sleep(300)"]
    wait_for(lambda: child.revive() or child.alive, "the next try")
    assert child.alive
    child.stop()


@pytest.mark.slow
def test_what_works_goes_on_when_a_port_is_taken_and_nothing_can_be_written(
    service: Service,
) -> None:
    service.start("--most-restarts", "1")
    state = service.data.read_state()
    rest_port = state["ports"]["rest"]
    file = service.data.path / "service.json"
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)  # so that we are the first at the port
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    psutil.Process(state["rest_api"]).kill()
    wait_for(lambda: _bindable(rest_port), "the port")
    with socket.create_server(("127.0.0.1", rest_port)):
        service.process.send_signal(signal.SIGCONT)
        wait_for(lambda: service.output.count("cannot listen") >= 2, "tries in vain")
        assert _ready(f"{state['controller_url']}/ready")
        assert service.process.poll() is None
    wait_for(lambda: _ready(f"{state['rest_url']}/ready"), "the Job API on its port")
    assert "cannot write" in service.output
    (file / "in the way").rmdir()
    file.rmdir()
    wait_for(lambda: service.data.read_state().get("rest_api") not in (None, state["rest_api"]), "")
    service.interrupt()


def _bindable(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_a_program_is_stopped_and_how_it_ended_is_told(tmp_path: Path) -> None:
    child = _child(tmp_path, "import time; time.sleep(300)")
    assert not child.alive
    child.stop()
    child.start()
    assert child.pid is not None
    child.check()
    psutil.Process(child.pid).kill()
    wait_for(lambda: not child.alive, "its end")
    assert child.how_it_ended() == "been ended by signal 9"
    assert child.last_words() == "(it wrote nothing)"
    child.revive()
    assert child.alive
    child.stop()
    assert not child.alive
