"""``--vm-params-file`` and ``--pod-params-file``: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.controller.parameter_files import quantity, read_pod_types, read_vm_types
from deploy.managers.pod.quantity import cpus
from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from env.errors import ConfigError

GIVEN = VmType("img", "m1.small", "key", "sec", "net")
VMS = """
# as the existing system writes it
[default]
image = "dacirco"
flavor = "s10.small"
key = "mykey"
security_group = "ssh"
network = "external"

[small]
flavor = "s10.tiny"

[large]
flavor = "s10.medium"
image = "dacirco-large"
"""
PODS = """
[default]
image = "dacirco/tc-worker"
cpu_request = 1
memory_request = "1.4Gi"
cpu_limit = "2"
memory_limit = "2Gi"
node_selector = ""

[small]
cpu_request = "500m"
cpu_limit = 0
memory_limit = ""
node_selector = "k8s-worker1"

[large]
cpu_request = 1.5
node_selector = "disk=ssd"
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "params.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_types_of_vm(tmp_path: Path) -> None:
    assert read_vm_types(written(tmp_path, VMS), GIVEN) == {
        "default": VmType("dacirco", "s10.small", "mykey", "ssh", "external"),
        "small": VmType("img", "s10.tiny", "key", "sec", "net"),
        "large": VmType("dacirco-large", "s10.medium", "key", "sec", "net"),
    }


def test_types_of_pod(tmp_path: Path) -> None:
    assert read_pod_types(written(tmp_path, PODS)) == {
        "default": PodType("dacirco/tc-worker", "1", "1.4Gi", "2", "2Gi", ""),
        "small": PodType(cpu_request="500m", node_selector="k8s-worker1"),
        "large": PodType(cpu_request="1.5", node_selector="disk=ssd"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no table"),
        ("# nothing\n", "holds no table"),
        ("flavor = 'x'", "'flavor' stands outside of a table: write \\[default\\]"),
        ("[default", "is not TOML"),
        (
            "[default]\nflavour = 'x'",
            "\\[default\\]: unknown key 'flavour': did you mean 'flavor'",
        ),
        ("[default]\ncpu_request = '1'", "unknown key 'cpu_request'"),
        ("[default]\nflavor = 2", "flavor = '2' is not a text"),
        ("[default]\nflavor = ['a']", "is not a text"),
        ("[default]\nflavor = ''", "is empty"),
        ('[default]\nflavor = "a\\nb"', "not printable"),
        (f"[default]\nflavor = '{'x' * 300}'", "too long"),
        ("[\"a,b=c\"]\nflavor = 'x'", "'a,b=c' is not usable"),
        (f"[{'x' * 64}]", "is not usable"),
        ("[default]\n[default.more]\nimage = 'x'", "unknown key 'more'"),
        (b"[default]\nflavor = '\xff'", "UTF-8"),
    ],
)
def test_what_a_file_of_vms_cannot_say_is_told(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        read_vm_types(written(tmp_path, text), GIVEN)
    assert "params.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cpu_request = 'two'", "cpu_request = 'two' is not a quantity"),
        ("cpu_limit = -1", "'-1' is not a quantity"),
        ("cpu_limit = nan", "'nan' is not a quantity"),
        ("cpu_limit = inf", "'inf' is not a quantity"),
        ("memory_limit = true", "'True' is not a quantity"),
        ("memory_request = 1979-05-27", "is not a quantity"),
        ("memory = '1Gi'", "unknown key 'memory': did you mean 'memory_"),
        ("node_selector = 3", "is not a text"),
    ],
)
def test_what_a_file_of_pods_cannot_say_is_told(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_pod_types(written(tmp_path, f"[small]\n{line}\n"))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(Exception, match="cannot read"):
            read_pod_types(path)


@pytest.mark.parametrize("text", ["0", "0.0", "0m", "000", "0Gi", "", " "])
def test_nought_is_no_quantity_at_all(text: str) -> None:
    assert quantity(text) == ""


@given(st.text(max_size=12) | st.from_regex(r"[0-9.eE+-]{1,6}[mkMGTi]{0,2}", fullmatch=True))
def test_what_passes_is_a_quantity_for_kubernetes(text: str) -> None:
    try:
        found = quantity(text)
    except ValueError:
        return
    if found:
        assert cpus(found) > 0.0
