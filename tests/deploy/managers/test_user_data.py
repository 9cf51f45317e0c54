import asyncio
import base64
import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.environment import WorkerLink
from deploy.managers.vm.manager import VmManager
from deploy.managers.vm.settings import VmSettings
from deploy.managers.vm.user_data import ENVIRONMENT_FILE, environment_line, user_data
from env.config import FlavorConfig

LINK = WorkerLink(
    "10.0.0.1", minio_server="10.0.0.3", minio_access_key="u", minio_secret_key="s$'\"`\\ x"
)
ORDER = SpawnOrder("5f0c", "tc-worker-5f0c", FlavorConfig("s10.small", 2, 4.0))


def run_script(encoded: str, folder: Path, umask: int = 0o022) -> Path:
    """Run the real script with its target moved into `folder`."""
    script = base64.b64decode(encoded).decode().replace("/etc/dacirco", str(folder / "etc"))
    subprocess.run(["bash", "-c", script], check=True, umask=umask)
    return folder / "etc" / Path(ENVIRONMENT_FILE).name


def read_as_shell(path: Path, name: str) -> str:
    shell = f'set -a; . "$0"; printf %s "${name}"'
    done = subprocess.run(["bash", "-c", shell, str(path)], check=True, capture_output=True)
    return done.stdout.decode()


def test_the_script_writes_the_contracts_environment(tmp_path: Path) -> None:
    path = run_script(user_data(LINK.environment(ORDER)), tmp_path)
    assert read_as_shell(path, "TCWORKER_ID") == "5f0c"
    assert read_as_shell(path, "TCWORKER_NAME") == "tc-worker-5f0c"
    assert read_as_shell(path, "TCWORKER_GRPC_SERVER") == "10.0.0.1"
    assert read_as_shell(path, "TCWORKER_GRPC_PORT") == "50051"
    assert read_as_shell(path, "TCWORKER_MINIO_SECRET_KEY") == LINK.minio_secret_key
    assert read_as_shell(path, "TCWORKER_CPUS") == "2"
    assert path.stat().st_mode & 0o077 == 0


def test_only_root_and_the_images_service_user_can_read_it(tmp_path: Path) -> None:
    me = getpass.getuser()
    for umask, user in ((0o022, me), (0o077, me), (0o000, "no-such-user-here")):
        path = run_script(user_data(LINK.environment(ORDER), user), tmp_path, umask)
        status = path.stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_uid == os.getuid()
        # The service user is not root: the folder lets him through to his file.
        assert path.parent.stat().st_mode & 0o777 == 0o755
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can give a file to another user and read as one",
)
def test_the_service_user_owns_the_file() -> None:
    with tempfile.TemporaryDirectory() as name:  # others cannot pass through pytest's folders
        folder = Path(name)
        folder.chmod(0o755)
        path = run_script(user_data(LINK.environment(ORDER), "nobody"), folder)
        assert path.owner() == "nobody"
        read = ["--clear-groups", "cat", str(path)]
        for user, readable in (("nobody", True), ("daemon", False)):
            done = subprocess.run(
                ["setpriv", f"--reuid={user}", *read], check=False, capture_output=True, text=True
            )
            assert ("TCWORKER_ID" in done.stdout) is readable


@pytest.mark.parametrize("user", ["", "a b", "x; rm -rf /", "$(id)", "-u", "Ubuntu\n"])
def test_what_is_no_users_name_does_not_reach_the_shell(user: str) -> None:
    with pytest.raises(ManagerError, match="--os-service-user"):
        user_data({}, user)


def test_a_vm_is_ordered_by_its_public_id_and_told_its_secret_one() -> None:
    order = SpawnOrder("public", "tc-worker-5f0c", ORDER.flavor, secret="only-the-worker-s")
    manager = VmManager(VmSettings("me"), LINK)
    seen: list[tuple[SpawnOrder, str]] = []

    class Cloud:
        def create(self, order: SpawnOrder, script: str) -> str:
            seen.append((order, base64.b64decode(script).decode()))
            return "server"

    async def scene() -> None:
        manager._cloud = Cloud()  # type: ignore[assignment]
        await manager.spawn(order)
        manager._cloud = None
        await manager.close()

    asyncio.run(scene())
    ((told, script),) = seen
    assert "TCWORKER_ID=only-the-worker-s\n" in script
    assert "TCWORKER_LOG_FILE=/home/ubuntu/dacirco_tc_worker.log\n" in script
    assert told.worker_id == "public"
    assert "only-the-worker-s" not in repr(told)


@settings(max_examples=25, deadline=None)
@given(value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_any_printable_value_survives_the_shell(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = run_script(user_data({"SECRET": value}), tmp_path_factory.mktemp("vm"))
    assert read_as_shell(path, "SECRET") == value


@pytest.mark.parametrize("value", ["a\nTCWORKER_ID=other", "a\0b", "\x7f"])
def test_a_value_cannot_add_a_line(value: str) -> None:
    with pytest.raises(ManagerError, match="SECRET"):
        environment_line("SECRET", value)


def test_the_secret_is_not_in_the_links_repr() -> None:
    assert LINK.minio_secret_key not in repr(LINK)
