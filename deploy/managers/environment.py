"""The environment that a worker is started with, the same for processes, VMs and pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from deploy.grpc_api.tls import ClientTls, read_ca
from deploy.managers.base import SpawnOrder

SECRET_VARIABLES: Final = frozenset(
    {"TCWORKER_ID", "TCWORKER_MINIO_ACCESS_KEY", "TCWORKER_MINIO_SECRET_KEY"}
)
"""What others must not read: the worker's proof of who it is, and its keys to the storage."""


@dataclass(frozen=True, slots=True)
class WorkerLink:
    """How a worker reaches the controller and the object storage.

    Attributes:
        grpc_server: address that workers call back, host name or IP.
        grpc_port: the controller's gRPC port.
        minio_server: S3 server's host, empty where `storage` is used instead.
        minio_port: S3 server's port.
        minio_access_key: S3 user.
        minio_secret_key: S3 secret; kept out of `repr`.
        storage: storage URL (see `deploy.storage.factory`) that only our own workers know;
            empty for the contract's MinIO variables.
        keepalive_interval_s: period of the worker's sign of life, seconds.
        log_file: where the worker writes its log on its own machine, empty for standard error.
        tls_ca: CA of the controller's certificate, as `deploy.grpc_api.tls.read_ca` reads it;
            empty: the controller speaks no TLS. Workers of the existing system do not know it.
        tls_server_name: what the certificate holds, empty for `grpc_server`.
        tls_port: the port for TLS where `grpc_port` is one without; 0: the same port.
    """

    grpc_server: str
    grpc_port: int = 50051
    minio_server: str = ""
    minio_port: int = 9000
    minio_access_key: str = ""
    minio_secret_key: str = field(default="", repr=False)
    storage: str = ""
    keepalive_interval_s: int = 15
    log_file: str = ""
    tls_ca: str = ""
    tls_server_name: str = ""
    tls_port: int = 0

    def environment(self, order: SpawnOrder) -> dict[str, str]:
        """The variables of one worker; some are secret, so they never go on a command line."""
        variables = {
            "GRPC_SERVER": self.grpc_server,
            "GRPC_PORT": str(self.grpc_port),
            "NAME": order.name,
            "ID": order.presented_id,
            "MINIO_SERVER": self.minio_server,
            "MINIO_PORT": str(self.minio_port) if self.minio_server else "",
            "MINIO_ACCESS_KEY": self.minio_access_key,
            "MINIO_SECRET_KEY": self.minio_secret_key,
            "LOG_FILE": self.log_file,
            "KEEPALIVE_INTERVAL": str(self.keepalive_interval_s),
            "STORAGE": self.storage,
            "CPUS": str(order.flavor.vcpus),
            "TLS_CA": self.tls_ca,
            "TLS_SERVER_NAME": self.tls_server_name,
            "TLS_PORT": str(self.tls_port) if self.tls_port else "",
        }
        return {f"TCWORKER_{key}": value for key, value in variables.items() if value}

    def tls(self) -> ClientTls | None:
        """How a worker of this process checks the controller, none without TLS."""
        if not self.tls_ca:
            return None
        return ClientTls(read_ca(self.tls_ca, "TCWORKER_TLS_CA"), self.tls_server_name)
