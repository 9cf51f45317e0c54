"""Whose failure it is when a task fails: the job's, this worker's, or the storage's."""

from __future__ import annotations

from deploy.grpc_api import dacirco_pb2 as pb
from deploy.names import VideoNameError
from deploy.storage.base import (
    ObjectMissingError,
    StorageError,
    StorageKeyError,
    StorageUnavailableError,
)
from deploy.worker.transcoder import SickWorkerError, TranscodingError


def fault_of(error: Exception) -> pb.FaultEnum | None:
    """Whose failure an error of `deploy.worker.job.process` is; none for one of our own making.

    A storage that refuses this worker is the worker's: it may have lost its mount, its secret or
    its clock. One that is away may be away for all: the controller knows.
    """
    match error:
        case TranscodingError() | VideoNameError() | ObjectMissingError() | StorageKeyError():
            return pb.FAULT_JOB
        case StorageUnavailableError():
            return pb.FAULT_STORAGE
        case SickWorkerError() | StorageError() | OSError():
            return pb.FAULT_WORKER
    return None


def error_type_of(error: Exception) -> pb.GrpcErrorType:
    """What the contract calls it: controllers that know no faults go by this."""
    if isinstance(error, StorageError | OSError):
        return pb.ERROR_STORAGE_ERROR
    return pb.ERROR_TRANSCODING_FAILED


def message_of(error: Exception) -> str:
    """What is told to people; without paths where it is not ours to word."""
    if isinstance(error, OSError):
        return f"the worker's disk: {error.strerror}"
    if fault_of(error) is None:
        return f"in the worker: {type(error).__name__}"
    return str(error)
