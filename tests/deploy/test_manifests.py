"""Manifests and Containerfiles name only what exists: options, scripts, keys, paths."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.controller.access import read_access
from deploy.controller.command import make_parser, settings_from
from deploy.managers.pod.body import APP, APP_LABEL
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
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o440)
    arguments = [
        re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], argument)
        .replace("/secrets/secret-key", str(secret))
        .replace("/front-end/token", str(token))
        for argument in container("dacirco-controller")["args"]
    ]
    settings = settings_from(make_parser().parse_args(arguments))
    assert settings.runner_type == "pod"
    assert settings.scheduler == "/app/models/dacirco"
    assert settings.minio.secret_key == "s"
    assert read_access(settings.access).front_ends.tokens is not None
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


def test_both_sides_of_a_front_ends_call_have_the_same_token() -> None:
    for name in ("dacirco-controller", "dacirco-rest-api"):
        assert "--front-end-token-file=/front-end/token" in container(name)["args"]
        pod = named("Deployment", name)["spec"]["template"]["spec"]
        (volume,) = [v for v in pod["volumes"] if v["name"] == "front-end"]
        # Others can read no such file: the programs refuse one that they can.
        assert volume["secret"] == {"secretName": "dacirco-front-end", "defaultMode": 0o440}
        assert pod["securityContext"]["fsGroup"]


def policy(name: str) -> dict[str, Any]:
    spec = named("NetworkPolicy", name)["spec"]
    assert isinstance(spec, dict)
    return spec


def reaches(rules: list[dict[str, Any]], port: int) -> list[dict[str, str]]:
    """The labels of the pods, or else of the namespaces, that rules open a port for."""
    found = []
    for rule in rules:
        if port in [each["port"] for each in rule["ports"]]:
            for peer in (*rule.get("from", ()), *rule.get("to", ())):
                chosen = peer.get("podSelector") or peer.get("namespaceSelector") or {}
                found.append(chosen.get("matchLabels", {}))
    return found


def test_nobody_reaches_a_worker_and_a_worker_only_what_it_needs() -> None:
    spec = policy("dacirco-workers")
    settings = settings_from(make_parser().parse_args(["-r", "simulated"]))
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    values = dict(literal.split("=", 1) for literal in generator["literals"])
    _, storage_space, _ = values["MINIO_SERVER"].split(".")
    space = "kubernetes.io/metadata.name"
    assert spec["podSelector"]["matchLabels"] == {APP_LABEL: APP}
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["ingress"] == []
    assert reaches(spec["egress"], settings.port) == [{"app": "dacirco-controller"}]
    assert reaches(spec["egress"], int(values["MINIO_PORT"])) == [{space: storage_space}]
    assert reaches(spec["egress"], 53) == [{space: "kube-system"}]
    assert len(spec["egress"]) == 3
    assert all(rule["to"] for rule in spec["egress"])


def test_grpc_is_for_workers_and_the_job_api_only() -> None:
    spec = policy("dacirco-controller")
    pod = named("Deployment", "dacirco-controller")["spec"]["template"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= pod.items()
    api = named("Deployment", "dacirco-rest-api")["spec"]["template"]["metadata"]["labels"]
    callers = reaches(spec["ingress"], 50051)
    assert callers == [{APP_LABEL: APP}, {"app": "dacirco-rest-api"}]
    assert callers[1].items() <= api.items()
    assert all(rule["from"] for rule in spec["ingress"])
    spec = policy("dacirco-rest-api")
    assert reaches(spec["egress"], 50051) == [{"app": "dacirco-controller"}]
    assert [rule["ports"][0]["port"] for rule in spec["ingress"]] == [8000]


def test_the_controller_may_only_touch_pods_and_make_their_secrets() -> None:
    rules = named("Role", "dacirco-controller")["rules"]
    writing = {
        resource
        for rule in rules
        if {"create", "delete", "update", "patch", "*"} & set(rule["verbs"])
        for resource in rule["resources"]
    }
    assert writing == {"pods", "secrets"}
    (secrets,) = [rule for rule in rules if "secrets" in rule["resources"]]
    assert secrets["verbs"] == ["create"]  # it can read none, its own neither
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
