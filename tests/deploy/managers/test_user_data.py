import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.managers.base import ManagerError, SpawnOrder
from deploy.managers.environment import WorkerLink
from deploy.managers.vm.user_data import ENVIRONMENT_FILE, environment_line, user_data
from env.config import FlavorConfig

LINK = WorkerLink(
    "10.0.0.1", minio_server="10.0.0.3", minio_access_key="u", minio_secret_key="s$'\"`\\ x"
)
ORDER = SpawnOrder("5f0c", "tc-worker-5f0c", FlavorConfig("s10.small", 2, 4.0))


def run_script(encoded: str, folder: Path) -> Path:
    """Run the real script with its target moved into `folder`."""
    script = base64.b64decode(encoded).decode().replace("/etc/dacirco", str(folder / "etc"))
    subprocess.run(["bash", "-c", script], check=True)
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
