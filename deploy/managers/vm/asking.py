"""Connecting to OpenStack and asking it: what the SDK raises becomes our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import openstack
from openstack import exceptions
from openstack.connection import Connection

from deploy.managers.base import ManagerError

T = TypeVar("T")


class RefusedError(ManagerError):
    """The API answered and said no: the order had no effect."""


def connect(cloud: str, timeout_s: float) -> Connection:
    """A connection that has been let in.

    Args:
        cloud: entry of clouds.yaml.
        timeout_s: for each answer, seconds.

    Raises:
        ManagerError: there is no such entry, or the cloud refuses its credentials.
    """
    try:
        connection = openstack.connect(cloud=cloud, api_timeout=timeout_s, app_name="dacirco")
        connection.authorize()
    except Exception as error:  # the sdk raises types of keystoneauth and of requests too
        raise ManagerError(
            f"cloud {cloud!r} cannot be used: {_reason(error)}: "
            "check its entry in clouds.yaml (see docs/operations.md)"
        ) from None
    return connection


def is_known(cloud: str) -> bool:
    """Whether clouds.yaml has the entry."""
    return bool(cloud) and cloud in openstack.config.OpenStackConfig().get_cloud_names()


def ask(call: Callable[[], T]) -> T:
    """What the API answers.

    Raises:
        RefusedError: no.
        ManagerError: nothing, or that it is broken.
    """
    try:
        return call()
    except exceptions.HttpException as error:
        status = error.status_code or 0
        kind = RefusedError if 400 <= status < 500 and status != 408 else ManagerError
        raise kind(f"OpenStack: {_reason(error)}") from None
    except exceptions.SDKException as error:
        raise ManagerError(f"OpenStack: {_reason(error)}") from None
    except Exception as error:  # keystoneauth's and requests' errors share no base
        raise ManagerError(f"OpenStack does not answer: {_reason(error)}") from None


def ask_plainly(call: Callable[[], Any]) -> Any:
    """The JSON of an answer that the SDK has no type for; raises as `ask` does."""

    def checked() -> Any:
        response = call()
        exceptions.raise_from_response(response)
        return response.json()

    return ask(checked)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
