"""One namespace of a Kubernetes cluster: plain blocking calls, used in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import urllib3
from kubernetes import client, config, watch

from deploy.managers.base import ManagerError
from deploy.managers.pod.body import selector
from deploy.managers.pod.quantity import cpus, gib
from deploy.managers.pod.settings import NodeSelector, PodSettings
from env.config import NodeConfig

_GONE: Final = 410
"""The watch is asked to go on from a version that the server has forgotten."""
_WATCH_S: Final = 240
"""The server ends a watch after this long, and it is opened anew, seconds."""

T = TypeVar("T")


class RefusedError(ManagerError):
    """The API answered and said no: the order had no effect."""


class ForgottenError(ManagerError):
    """The watch cannot go on from where it was: list the pods anew."""


class PodApi:
    """The namespace that holds the workers.

    Args:
        settings: names and timeouts.

    Raises:
        ManagerError: there are no credentials.
    """

    def __init__(self, settings: PodSettings) -> None:
        self.settings = settings
        configuration = client.Configuration()
        configuration.retries = False  # we retry ourselves, and say so
        service_account = Path(config.incluster_config.SERVICE_TOKEN_FILENAME)
        try:
            if settings.kubeconfig is None and service_account.is_file():
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    settings.kubeconfig, settings.context, client_configuration=configuration
                )
        except (config.ConfigException, OSError, ValueError) as error:
            raise ManagerError(
                f"no Kubernetes credentials: {error}: give a kubeconfig (KUBECONFIG or "
                "~/.kube/config), or run inside the cluster with a service account"
            ) from None
        self._client = client.ApiClient(configuration)
        self._core = client.CoreV1Api(self._client)
        self._selector = selector(settings.controller_id)

    # -- at start ---------------------------------------------------------------------

    def ensure_namespace(self) -> None:
        """Make the namespace where it is missing.

        Raises:
            ManagerError: it is missing and may not be made.
        """
        name = self.settings.namespace
        try:
            self._ask(lambda: self._core.read_namespace(name, **self._timeout))
            return
        except RefusedError as error:
            refused = str(error)
        try:
            body = {"metadata": {"name": name}}
            self._ask(lambda: self._core.create_namespace(body, **self._timeout))
        except RefusedError as error:
            raise ManagerError(f"namespace {name!r}: {refused}; making it: {error}") from None

    def nodes(self) -> tuple[NodeConfig, ...]:
        """The nodes that take pods of any flavor of ours: ready, schedulable, and as asked for.

        Raises:
            ManagerError: the API does not answer, or the nodes may not be listed.
        """
        reply = self._ask(lambda: self._core.list_node(**self._timeout))
        selectors = [self.settings.selector_of(flavor.name) for flavor in self.settings.flavors]
        found = []
        for node in reply.items:
            if not any(_takes(node, each) for each in selectors):
                continue
            ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
            closed = any(t.effect in ("NoSchedule", "NoExecute") for t in node.spec.taints or [])
            cores = int(cpus(node.status.allocatable["cpu"]))
            if ready and not closed and not node.spec.unschedulable and cores:
                ram = gib(node.status.allocatable["memory"])
                found.append(NodeConfig(node.metadata.name, cores, ram))
        return tuple(sorted(found, key=lambda node: node.name))

    # -- pods -------------------------------------------------------------------------

    def create(self, body: dict[str, Any]) -> str:
        """Order a pod and return its uid.

        Raises:
            RefusedError: the API said no (quota, name taken, bad quantity).
            ManagerError: it is not known whether the order had an effect.
        """
        namespace = self.settings.namespace
        pod = self._ask(lambda: self._core.create_namespaced_pod(namespace, body, **self._timeout))
        return str(pod.metadata.uid)

    def create_secret(self, body: dict[str, Any]) -> None:
        """Store a Secret; the controller may make them, and neither read nor change them.

        Raises:
            ManagerError: it is not known to be there.
        """
        namespace = self.settings.namespace
        self._ask(lambda: self._core.create_namespaced_secret(namespace, body, **self._timeout))

    def pods(self) -> tuple[list[Any], str]:
        """This controller's pods, and the version to watch from.

        Raises:
            ManagerError: the API does not answer.
        """
        namespace = self.settings.namespace
        reply = self._ask(
            lambda: self._core.list_namespaced_pod(
                namespace, label_selector=self._selector, **self._timeout
            )
        )
        return list(reply.items), str(reply.metadata.resource_version)

    def changes(self, version: str, watcher: watch.Watch) -> Iterator[tuple[str, Any]]:
        """What happens to the pods from a version on: (ADDED, MODIFIED or DELETED, pod).

        Ends quietly when the server ends the watch.

        Raises:
            ForgottenError: list the pods anew.
            ManagerError: the connection broke.
        """
        try:
            for change in watcher.stream(
                self._core.list_namespaced_pod,
                self.settings.namespace,
                label_selector=self._selector,
                resource_version=version,
                timeout_seconds=_WATCH_S,
                # Of connection and read: a silent, dead connection must not go unnoticed.
                _request_timeout=(self.settings.api_timeout_s, _WATCH_S + 30),
            ):
                yield change["type"], change["object"]
        except client.ApiException as error:
            if error.status == _GONE:
                raise ForgottenError("the watch's version is too old") from None
            raise ManagerError(f"Kubernetes: {_reason(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ManagerError(f"Kubernetes does not answer: {error}") from None

    def delete(self, name: str, *, force: bool = False) -> None:
        """Order the end of a pod; one that is gone is no error.

        Args:
            name: of the pod.
            force: do not wait for its node, which may be down.

        Raises:
            ManagerError: the API does not answer.
        """
        body = {"gracePeriodSeconds": 0} if force else None
        namespace = self.settings.namespace
        try:
            self._ask(
                lambda: self._core.delete_namespaced_pod(
                    name, namespace, body=body, **self._timeout
                )
            )
        except RefusedError:
            if self.exists(name):
                raise

    def exists(self, name: str) -> bool:
        """Whether there is a pod of this name.

        Raises:
            ManagerError: the API does not answer.
        """
        namespace = self.settings.namespace
        try:
            self._core.read_namespaced_pod(name, namespace, **self._timeout)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise ManagerError(f"Kubernetes: {_reason(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ManagerError(f"Kubernetes does not answer: {error}") from None
        return True

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    # -- how --------------------------------------------------------------------------

    @property
    def _timeout(self) -> dict[str, float]:
        return {"_request_timeout": self.settings.api_timeout_s}

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except client.ApiException as error:
            status = error.status or 0
            # 429: try again later; nothing was done, but it is no verdict on the order.
            kind = RefusedError if 400 <= status < 500 else ManagerError
            raise kind(f"Kubernetes: {_reason(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ManagerError(f"Kubernetes does not answer: {error}") from None


def _takes(node: Any, selector: NodeSelector) -> bool:
    labels = node.metadata.labels or {}
    named = selector.name in ("", node.metadata.name)
    return named and all(labels.get(key) == value for key, value in selector.labels.items())


def _reason(error: client.ApiException) -> str:
    """The API's own message: the body is a Status object."""
    import json

    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        message = error.reason or "no reason given"
    return f"{error.status} {message}"[:500]
