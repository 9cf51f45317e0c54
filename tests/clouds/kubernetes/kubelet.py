"""A small stand-in for the kubelet: a node whose pods are processes of this machine.

    python -m tests.clouds.kubernetes.kubelet KUBECONFIG NODE FOLDER CGROUP

It registers the node, renews its lease, starts the first container of each pod that the scheduler
binds to it, reports its status, honours deletion and finds its pods again after a restart. No image
is pulled: `FOLDER/NODE.json` says what runs for an image, and any other image cannot be pulled.

    {"images": {name: command}, "start_delay_s": [least, most]}

A file `FOLDER/pods/UID/evicted` or `.../oom` beside a killed container says why it was killed.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from kubernetes.utils.quantity import parse_quantity

from tests.clouds import cgroups
from tests.clouds.kubernetes.container import KILLED, Container

CPUS, MEMORY = "6", "16Gi"
_ADDRESS = "127.0.0.1"
_HEARTBEAT_S = 4.0


class NotYetError(Exception):
    """The container cannot start now; reason and message as kubectl shows them."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Kubelet:
    """One node."""

    def __init__(self, node: str, folder: Path, group: str) -> None:
        self._core = client.CoreV1Api()
        self._leases = client.CoordinationV1Api()
        self._node = node
        self._folder = folder
        self._group = group
        self._known: set[str] = set()  # uids that have, or had, a container or a thread
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve until killed; the API server may come and go."""
        threading.Thread(target=self._beat, daemon=True).start()
        bound = f"spec.nodeName={self._node}"
        while True:
            try:
                pods = self._core.list_pod_for_all_namespaces(field_selector=bound)
                for pod in pods.items:
                    self._consider(pod)
                for event in watch.Watch().stream(
                    self._core.list_pod_for_all_namespaces,
                    field_selector=bound,
                    resource_version=pods.metadata.resource_version,
                    timeout_seconds=5,  # then list again: what could not start is tried again
                ):
                    if event["type"] == "DELETED":
                        self._forget(event["object"])
                    else:
                        self._consider(event["object"])
            except Exception as error:  # the API server is away: containers run on
                print("watch:", repr(error)[:300], flush=True)
                time.sleep(1)

    def _beat(self) -> None:
        while True:
            try:
                self._register()
                self._renew()
            except Exception as error:
                print("heartbeat:", repr(error)[:300], flush=True)
            time.sleep(_HEARTBEAT_S)

    def _register(self) -> None:
        kinds = {"hostname": self._node, "os": "linux", "arch": "amd64"}
        labels = {f"kubernetes.io/{kind}": value for kind, value in kinds.items()}
        try:
            self._core.create_node({"metadata": {"name": self._node, "labels": labels}})
        except client.ApiException as error:
            if error.status != 409:
                raise
        capacity = {"cpu": CPUS, "memory": MEMORY, "pods": "110"}
        addresses = [("InternalIP", _ADDRESS), ("Hostname", self._node)]
        names = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage")
        names += ("containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion")
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
        status = {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": kind, "address": value} for kind, value in addresses],
            "nodeInfo": {
                **dict.fromkeys(names, "test"),
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "conditions": [{**ready, "lastHeartbeatTime": _now()}],
        }
        self._core.patch_node_status(self._node, {"status": status})

    def _renew(self) -> None:
        namespace = "kube-node-lease"
        spec = {"holderIdentity": self._node, "leaseDurationSeconds": 40, "renewTime": _now()}
        lease = {"metadata": {"name": self._node}, "spec": spec}
        try:
            self._leases.patch_namespaced_lease(self._node, namespace, lease)
        except client.ApiException as error:
            if error.status != 404:
                raise
            self._leases.create_namespaced_lease(namespace, lease)

    def _consider(self, pod: Any) -> None:
        """Do what the pod's state asks for, each in a thread of its own, once."""
        uid = pod.metadata.uid
        if pod.metadata.deletion_timestamp:
            self._once(f"{uid} deletion", self._delete, pod)
        elif pod.status.phase in ("Pending", "Running"):
            self._once(uid, self._live, pod)

    def _once(self, key: str, work: Any, pod: Any) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known.add(key)

        def guarded() -> None:
            try:
                work(pod)
            except NotYetError as error:
                waiting = {"reason": error.reason, "message": str(error)}
                self._report(pod, "Pending", {"waiting": waiting})
                time.sleep(2)
                with self._lock:
                    self._known.discard(key)
            except Exception as error:
                print(f"{pod.metadata.name}:", repr(error)[:300], flush=True)
                with self._lock:
                    self._known.discard(key)

        threading.Thread(target=guarded, daemon=True).start()

    def _live(self, pod: Any) -> None:
        """From the start of the container to the report of its end."""
        folder = self._pod_folder(pod)
        container = Container.found(folder)
        if container is None:
            container = self._start(pod, folder)
        self._report(pod, "Running", {"running": {"startedAt": _now()}})
        code = container.wait()
        reason = "Completed" if code == 0 else "Error"
        if cgroups.out_of_memory(list(container.limits)) or (folder / "oom").exists():
            reason, code = "OOMKilled", KILLED
        cgroups.remove(self._group, pod.metadata.uid)
        ended = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": _now()}}
        evicted = {"reason": "Evicted", "message": "The node was low on resource: memory."}
        extra = evicted if (folder / "evicted").exists() else {}
        self._report(pod, "Failed" if code or extra else "Succeeded", ended, **extra)

    def _start(self, pod: Any, folder: Path) -> Container:
        behaviour = json.loads((self._folder / f"{self._node}.json").read_text())
        spec = pod.spec.containers[0]
        entrypoint = behaviour["images"].get(spec.image) or behaviour["images"].get(
            spec.image.rpartition(":")[0]
        )
        if entrypoint is None:
            raise NotYetError("ErrImagePull", f"no image {spec.image!r} on {self._node}")
        variables = self._variables(pod, spec)
        self._report(pod, "Pending", {"waiting": {"reason": "ContainerCreating"}})
        time.sleep(random.uniform(*behaviour["start_delay_s"]))
        asked = (spec.resources.limits if spec.resources else None) or {}
        cpus, memory = asked.get("cpu"), asked.get("memory")
        limits = cgroups.limit(
            self._group,
            pod.metadata.uid,
            cpus=float(parse_quantity(cpus)) if cpus else None,
            memory_bytes=int(parse_quantity(memory)) if memory else None,
        )
        command = [*(spec.command or entrypoint), *(spec.args or [])]
        return Container.start(folder, command, variables, limits)

    def _variables(self, pod: Any, spec: Any) -> dict[str, str]:
        """The container's environment with the fields, secrets and config maps it names."""
        namespace = pod.metadata.namespace
        fields = {
            "spec.nodeName": self._node,
            "metadata.name": pod.metadata.name,
            "metadata.namespace": namespace,
            "metadata.uid": pod.metadata.uid,
            "status.podIP": _ADDRESS,
            "status.hostIP": _ADDRESS,
        }
        found: dict[str, str] = {}
        for source in spec.env_from or []:
            if source.secret_ref:
                found |= self._secret(source.secret_ref.name, namespace)
            if source.config_map_ref:
                found |= self._config_map(source.config_map_ref.name, namespace)
        for variable in spec.env or []:
            origin = variable.value_from
            if origin is None:
                found[variable.name] = variable.value or ""
            elif origin.field_ref:
                found[variable.name] = fields[origin.field_ref.field_path]
            elif origin.secret_key_ref:
                keys = self._secret(origin.secret_key_ref.name, namespace)
                found[variable.name] = keys[origin.secret_key_ref.key]
            elif origin.config_map_key_ref:
                keys = self._config_map(origin.config_map_key_ref.name, namespace)
                found[variable.name] = keys[origin.config_map_key_ref.key]
        return found

    def _secret(self, name: str, namespace: str) -> dict[str, str]:
        secret = _existing("secret", self._core.read_namespaced_secret, name, namespace)
        return {key: base64.b64decode(text).decode() for key, text in (secret.data or {}).items()}

    def _config_map(self, name: str, namespace: str) -> dict[str, str]:
        found = _existing("configmap", self._core.read_namespaced_config_map, name, namespace)
        return dict(found.data or {})

    def _delete(self, pod: Any) -> None:
        """Ask the container to end, kill it when its grace is over, and let the pod go."""
        container = Container.found(self._pod_folder(pod))
        if container is not None and container.alive:
            container.terminate()
            deadline = time.monotonic() + (pod.metadata.deletion_grace_period_seconds or 0)
            while container.alive and time.monotonic() < deadline:
                time.sleep(0.05)
            container.kill()
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
        try:
            self._core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body=body)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise

    def _forget(self, pod: Any) -> None:
        """The pod is gone: so is its container, also after a deletion by force, and its disk."""
        folder = self._pod_folder(pod)
        container = Container.found(folder)
        if container is not None:
            container.kill()
        shutil.rmtree(folder / "disk", ignore_errors=True)

    def _report(self, pod: Any, phase: str, state: dict[str, Any], **extra: str) -> None:
        running = phase == "Running"
        spec = pod.spec.containers[0]
        conditions = {"Initialized": True, "PodScheduled": True}
        conditions |= {"Ready": running, "ContainersReady": running}
        container = {
            "name": spec.name,
            "image": spec.image,
            "imageID": spec.image,
            "ready": running,
            "restartCount": 0,
            "state": state,
        }
        status = {
            "phase": phase,
            "hostIP": _ADDRESS,
            "podIP": _ADDRESS,
            "conditions": [
                {"type": kind, "status": str(value)} for kind, value in conditions.items()
            ],
            "containerStatuses": [container],
            **({"startTime": _now()} if running else {}),
            **extra,
        }
        metadata = {"uid": pod.metadata.uid}  # not a later pod of the same name
        name, namespace = pod.metadata.name, pod.metadata.namespace
        while True:
            try:
                self._core.patch_namespaced_pod_status(
                    name, namespace, {"metadata": metadata, "status": status}
                )
                return
            except client.ApiException as error:
                if error.status in (404, 409):  # the pod is gone
                    return
                print("status:", error.status, error.reason, flush=True)
            except Exception as error:  # the API server is away: the report waits for it
                print("status:", repr(error)[:300], flush=True)
            time.sleep(1)

    def _pod_folder(self, pod: Any) -> Path:
        return self._folder / "pods" / str(pod.metadata.uid)


def _existing(kind: str, read: Any, name: str, namespace: str) -> Any:
    try:
        return read(name, namespace)
    except client.ApiException as error:
        if error.status == 404:
            message = f'{kind} "{name}" not found'
            raise NotYetError("CreateContainerConfigError", message) from error
        raise


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    config.load_kube_config(sys.argv[1])
    Kubelet(sys.argv[2], Path(sys.argv[3]), sys.argv[4]).run()
