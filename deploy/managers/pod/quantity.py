"""Kubernetes quantities, ``500m`` or ``1.4Gi``, as numbers."""

from __future__ import annotations

from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from deploy.managers.base import ManagerError

BYTES_PER_GIB = 2**30


def _parse(text: str, what: str) -> Decimal:
    try:
        number = parse_quantity(text)
    except ValueError as error:
        raise ManagerError(
            f"{what} {text!r}: {error}: write for instance 2, 500m or 1.4Gi"
        ) from None
    return Decimal(number)


def cpus(text: str) -> float:
    """CPU quantity in cores.

    Raises:
        ManagerError: it is not a quantity.
    """
    return float(_parse(text, "CPU quantity"))


def gib(text: str) -> float:
    """Memory quantity in GiB.

    Raises:
        ManagerError: it is not a quantity.
    """
    return float(_parse(text, "memory quantity")) / BYTES_PER_GIB


def memory(ram_gib: float) -> str:
    """GiB as a quantity in whole MiB."""
    return f"{round(ram_gib * 1024)}Mi"
