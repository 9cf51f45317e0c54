"""A real Kubernetes with three nodes whose pods are processes of this machine."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clouds.cloud import Cloud
from tests.clouds.kubernetes.build import build_servers
from tests.clouds.kubernetes.container import Container
from tests.clouds.kubernetes.pod import Pod
from tests.clouds.machine import (
    REPOSITORY,
    free_ports,
    install_packages,
    require_namespaces,
    require_root,
)
from tests.clouds.waiting import listens, wait_for

NODES = ("compute1", "compute2", "compute3")
IMAGE = "dacirco/tc-worker"
"""The one image that the nodes have; with any tag it starts our `dacirco_tc_worker`."""
WORKER = Path(sys.executable).parent / "dacirco_tc_worker"


class KubernetesCluster(Cloud):
    """etcd, API server, scheduler, controller-manager, and compute1, compute2, compute3."""

    name = "kubernetes"

    def install(self) -> None:
        require_root()
        require_namespaces()
        install_packages(["etcd-server", "openssl"])
        build_servers(self.cache)

    def start(self) -> None:
        keys = self.scratch / "keys"
        keys.mkdir()
        (self.scratch / "nodes").mkdir()
        names = ("api", "scheduler", "controllers", "etcd", "peers")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        (self.state / "ports.json").write_text(json.dumps(ports))
        token = secrets.token_urlsafe(24)
        tokens = keys / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f"{token},admin,admin,system:masters\n")
        private, public = keys / "accounts.key", keys / "accounts.pub"
        run = self.processes.run
        run(["openssl", "genrsa", "-out", private, "2048"])
        run(["openssl", "rsa", "-in", private, "-pubout", "-out", public])
        self._start_etcd(ports)
        self._start_api()
        self.write_kubeconfig(self.kubeconfig, token)
        for program, name in (("scheduler", "scheduler"), ("controller-manager", "controllers")):
            extra = []
            if name == "controllers":
                extra = [
                    f"--service-account-private-key-file={private}",
                    f"--root-ca-file={self._authority}",
                    "--node-monitor-period=2s",
                    "--node-monitor-grace-period=15s",
                ]
            self.processes.start(
                name,
                [
                    self.cache / "bin" / f"kube-{program}",
                    f"--kubeconfig={self.kubeconfig}",
                    "--leader-elect=false",
                    "--port=0",
                    f"--secure-port={ports[name]}",
                    "--bind-address=127.0.0.1",
                    f"--cert-dir={keys / name}",
                    *extra,
                ],
            )
        self.reset_behaviour()
        for node in NODES:
            self.start_node(node)
        core = self.core()
        wait_for(lambda: self._ready(core) == set(NODES), "three ready nodes")
        wait_for(
            lambda: core.list_namespaced_service_account("default").items, "the default account"
        )
        self.save_facts(kubeconfig=self.kubeconfig, port=ports["api"])

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with every right."""
        return self.state / "kubeconfig"

    def core(self) -> Any:
        """The core API with every right."""
        from kubernetes import client, config

        return client.CoreV1Api(config.new_client_from_config(str(self.kubeconfig)))

    def write_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> Path:
        """Write a kubeconfig for the token's user and return its path."""
        path.touch(mode=0o600)
        server = f"https://127.0.0.1:{self._ports['api']}"
        cluster = {"server": server, "certificate-authority": str(self._authority)}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(json.dumps(content, indent=1))  # JSON is YAML
        return path

    def account_kubeconfig(self, account: str, namespace: str, path: Path) -> Path:
        """A kubeconfig with the rights that the service account has, for tests of RBAC rules."""
        core = self.core()

        def token() -> str | None:
            for secret in core.list_namespaced_secret(namespace).items:
                owner = (secret.metadata.annotations or {}).get(
                    "kubernetes.io/service-account.name"
                )
                if owner == account and "token" in (secret.data or {}):
                    return base64.b64decode(secret.data["token"]).decode()
            return None

        return self.write_kubeconfig(path, wait_for(token, f"{account}'s token"), namespace)

    # What the nodes do with the next pods.

    def set_behaviour(
        self,
        nodes: Iterable[str] = NODES,
        *,
        start_delay_s: tuple[float, float] = (0.0, 0.0),
        worker: Path | None = None,
        image: bool = True,
    ) -> None:
        """Say how pods that start from now on fare on the nodes.

        Args:
            nodes: names.
            start_delay_s: least and most seconds in ContainerCreating.
            worker: what the image starts instead of our `dacirco_tc_worker`.
            image: without it the image cannot be pulled (ErrImagePull).
        """
        images = {IMAGE: [str(worker or WORKER)]} if image else {}
        for node in nodes:
            path = self.scratch / "nodes" / f"{node}.json"
            new = path.with_suffix(".new")
            new.write_text(json.dumps({"images": images, "start_delay_s": start_delay_s}))
            new.replace(path)

    def reset_behaviour(self) -> None:
        """Every node has the image and starts it at once."""
        self.set_behaviour()

    def pod(self, uid: str) -> Pod:
        """The pod as its node holds it, once its container has started."""
        folder = self.scratch / "nodes" / "pods" / uid
        wait_for((folder / "record.json").exists, f"the container of pod {uid}")
        return Pod(uid, folder)

    # Nodes and API server.

    def start_node(self, node: str) -> None:
        """Start a node; it finds its containers again."""
        module = ["-m", "tests.clouds.kubernetes.kubelet", self.kubeconfig, node]
        self.processes.start(
            node,
            [sys.executable, *module, self.scratch / "nodes", self.cgroup],
            cwd=REPOSITORY,
        )

    def stop_node(self, node: str, *, pods: bool = True) -> None:
        """A node goes down at once; with `pods`, its containers go with it (power cut)."""
        uids = [pod.metadata.uid for pod in self.pods() if pod.spec.node_name == node]
        self.processes.stop([node], grace_s=0)
        for uid in uids if pods else ():
            container = Container.found(self.scratch / "nodes" / "pods" / uid)
            if container is not None:
                container.kill()

    def await_node(self, node: str, *, ready: bool, timeout_s: float = 180) -> None:
        """Wait until Kubernetes believes that the node is ready, or not."""
        core = self.core()
        wait_for(
            lambda: (node in self._ready(core)) == ready,
            f"{node} {'ready' if ready else 'not ready'}",
            timeout_s=timeout_s,
        )

    @contextmanager
    def api_down(self, *, hang: bool = False) -> Iterator[None]:
        """The API server is away inside the block: refuses connections, or with `hang` hangs."""
        if hang:
            self.processes.pause("api")
        else:
            self.processes.stop(["api"], grace_s=0)
        try:
            yield
        finally:
            if hang:
                self.processes.resume("api")
                self.await_ready("api", self._api_ready)
            else:
                self._start_api()

    def restart_api(self) -> None:
        """End the API server, and every watch with it, and start it again."""
        with self.api_down():
            pass

    def pods(self) -> list[Any]:
        """Every pod of every namespace."""
        return list(self.core().list_pod_for_all_namespaces().items)

    def leaks(self) -> list[str]:
        """The pods that exist; empty in a clean cluster."""
        return [f"pod {pod.metadata.name} ({pod.status.phase})" for pod in self.pods()]

    def clean(self) -> None:
        """Delete every pod and every namespace that tests made; nodes are well again."""
        self.reset_behaviour()
        core = self.core()
        for node in NODES:
            if not self.processes.alive(node):
                self.start_node(node)
            self.await_node(node, ready=True)
        for pod in self.pods():
            core.delete_namespaced_pod(
                pod.metadata.name, pod.metadata.namespace, body={"gracePeriodSeconds": 0}
            )
        kept = {"default", "kube-system", "kube-public", "kube-node-lease"}

        def extra() -> list[str]:
            names = {space.metadata.name for space in core.list_namespace().items}
            return sorted(names - kept)

        for name in extra():
            core.delete_namespace(name)
        wait_for(lambda: not extra() and not self.pods(), "an empty cluster")

    @property
    def _ports(self) -> dict[str, int]:
        ports: dict[str, int] = json.loads((self.state / "ports.json").read_text())
        return ports

    @property
    def _authority(self) -> Path:
        """The certificate that the API server makes for itself."""
        return self.scratch / "keys" / "api" / "apiserver.crt"

    def _start_etcd(self, ports: dict[str, int]) -> None:
        clients, peers = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "peers"))
        self.processes.start(
            "etcd",
            [
                "etcd",
                "--name=test",
                f"--data-dir={self.scratch / 'etcd'}",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=test={peers}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
        self.await_ready("etcd", lambda: listens(ports["etcd"]))

    def _start_api(self) -> None:
        keys, ports = self.scratch / "keys", self._ports
        self.processes.start(
            "api",
            [
                self.cache / "bin/kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={ports['api']}",
                "--insecure-port=0",
                f"--cert-dir={keys / 'api'}",
                f"--token-auth-file={keys / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={keys / 'accounts.pub'}",
                f"--service-account-signing-key-file={keys / 'accounts.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--endpoint-reconciler-type=none",
                # Five minutes by default: pods of a dead node are given up sooner here.
                "--default-not-ready-toleration-seconds=5",
                "--default-unreachable-toleration-seconds=5",
            ],
        )
        self.await_ready("api", self._api_ready)

    def _api_ready(self) -> bool:
        try:
            context = ssl.create_default_context(cafile=str(self._authority))
            url = f"https://127.0.0.1:{self._ports['api']}/readyz"
            with urllib.request.urlopen(url, timeout=5, context=context) as reply:
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    @staticmethod
    def _ready(core: Any) -> set[str]:
        return {
            node.metadata.name
            for node in core.list_node().items
            if any(
                condition.type == "Ready" and condition.status == "True"
                for condition in node.status.conditions or []
            )
        }
