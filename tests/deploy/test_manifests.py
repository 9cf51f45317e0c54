"""Manifests and Containerfiles name only what exists: options, scripts, keys, paths."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.controller.command import make_parser, settings_from
from deploy.rest.command import make_parser as make_rest_parser

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "manifests"


def documents() -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    return [
        document
        for name in kustomization["resources"]
        for document in yaml.safe_load_all((MANIFESTS / name).read_text())
    ]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in documents() if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def container(name: str) -> dict[str, Any]:
    (only,) = named("Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_the_controllers_options_exist(tmp_path: Path) -> None:
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    values = dict(literal.split("=", 1) for literal in generator["literals"])
    secret = tmp_path / "secret-key"
    secret.write_text("s\n")
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], argument).replace(
            "/secrets/secret-key", str(secret)
        )
        for argument in container("dacirco-controller")["args"]
    ]
    settings = settings_from(make_parser().parse_args(arguments))
    assert settings.runner_type == "pod"
    assert settings.scheduler == "/app/models/dacirco"
    assert settings.minio.secret_key == "s"
    assert settings.http_host == "0.0.0.0"  # the probes come from outside the pod


def test_the_apis_options_exist() -> None:
    options = make_rest_parser().parse_args(container("dacirco-rest-api")["args"])
    assert options.host == "0.0.0.0"
    assert named("Service", options.grpc_server)["spec"]["ports"][0]["port"] == options.grpc_port


@pytest.mark.parametrize("name", ["dacirco-controller", "dacirco-rest-api"])
def test_containers_have_the_least_privileges(name: str) -> None:
    pod = named("Deployment", name)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    context = container(name)["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"] for mount in container(name)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_controller_may_only_touch_pods() -> None:
    rules = named("Role", "dacirco-controller")["rules"]
    writing = {
        resource
        for rule in rules
        if {"create", "delete", "update", "patch", "*"} & set(rule["verbs"])
        for resource in rule["resources"]
    }
    assert writing == {"pods"}
    (nodes,) = named("ClusterRole", "dacirco-node-reader")["rules"]
    assert (nodes["resources"], nodes["verbs"]) == (["nodes"], ["list"])


@pytest.mark.parametrize("name", ["controller", "worker"])
def test_containerfiles_copy_what_is_there_and_start_our_scripts(name: str) -> None:
    text = (ROOT / "deploy" / "containers" / f"Containerfile.{name}").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for path in copied.split():
            assert (ROOT / path).exists(), path
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (entry,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', text, re.MULTILINE)
    assert entry in scripts
