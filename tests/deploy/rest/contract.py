"""The contract's messages, made from its tables; uses nothing of the code that is tested."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE: Final = "dacirco_grpc_service"
SERVICE: Final = f"{PACKAGE}.DaCircogRPCService"

MESSAGES: Final = {
    "Empty": "",
    "TCRequest": "input_video:string:1 output_video:string:2 bitrate:int32:3 speed:string:4",
    "TCRequestReply": "success:bool:1 error_message:string:2 request_id:string:3",
    "RequestID": "request_id:string:1",
    "WorkerID": "worker_id:string:1",
    "RequestIDList": "request_ids:string*:1",
    "WorkerIDList": "worker_ids:string*:1",
    "TCRequestStatus": "request_status:RequestStatusEnum:1",
    "WorkerFullDesc": "name:string:1 id:string:2 cpus:string:3 memory:string:4 node:string:5",
    "WorkerGrpcState": "worker_status:WorkerStatusEnum:1",
    "gRPCServiceReply": "success:bool:1 error_message:string:2",
    "WorkerDesc": "name:string:1 id:string:2",
    "TCTask": "input_video:string:1 output_video:string:2 bitrate:int32:3 speed:string:4 "
    "request_id:string:5 worker_id:string:6 task_id:string:7",
    "GrpcEvent": "event_type:GrpcEventTypeEnum:1 worker_id:string:2 task_id:string:3",
    "GrpcErrorEvent": "error_type:GrpcErrorType:1 error_message:string:2 worker_id:string:3 "
    "task_id:string:4",
}
STATES_OF_2024: Final = "INVALID:0 BOOTING:1 BUSY:2 IDLE:3 STOPPED:4 NOT_FOUND:5"
"""The one enum that the generation of 2024 has otherwise: `WorkerStatusEnum`."""
ENUMS: Final = {
    "RequestStatusEnum": "INVALID:0 WAITING:1 STARTED:3 COMPLETED:4 ERROR:5 NOT_FOUND:6",
    "WorkerStatusEnum": "INVALID:0 BOOTING:1 DOWNLOADING_FILE:2 TRANSCODING:3 UPLOADING_FILE:4 "
    "IDLE:5 STOPPED:6 NOT_FOUND:7",
    "GrpcEventTypeEnum": "INVALID:0 FILE_DOWNLOADED:1 TRANSCODING_COMPLETED:3 FILE_UPLOADED:4 "
    "KEEPALIVE:5",
    "GrpcErrorType": "INVALID:0 TRANSCODING_FAILED:1 STORAGE_ERROR:2",
}
RPCS: Final = {
    "submit_request": ("TCRequest", "TCRequestReply"),
    "get_requests": ("Empty", "RequestIDList"),
    "get_request": ("RequestID", "TCRequest"),
    "get_request_status": ("RequestID", "TCRequestStatus"),
    "get_workers": ("Empty", "WorkerIDList"),
    "get_worker": ("WorkerID", "WorkerFullDesc"),
    "get_worker_status": ("WorkerID", "WorkerGrpcState"),
    "register_worker": ("WorkerDesc", "gRPCServiceReply"),
    "get_tasks": ("WorkerDesc", "TCTask"),
    "submit_event": ("GrpcEvent", "gRPCServiceReply"),
    "submit_error": ("GrpcErrorEvent", "gRPCServiceReply"),
}

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES: Final = {"string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL, "int32": _Field.TYPE_INT32}


def _file(enums: dict[str, str]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="contract.proto", package=PACKAGE, syntax="proto3"
    )
    for name, values in enums.items():
        enum = file.enum_type.add(name=name)
        for value in values.split():
            label, _, number = value.partition(":")
            enum.value.add(name=f"{name}_{label}", number=int(number))
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            label, kind, number = text.split(":")
            repeated = kind.endswith("*")
            field = message.field.add(
                name=label,
                number=int(number),
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            kind = kind.rstrip("*")
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type, field.type_name = _Field.TYPE_ENUM, f".{PACKAGE}.{kind}"
    return file


def _pool(enums: dict[str, str]) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file(enums))
    return pool


_POOLS: Final = {
    "2022": _pool(ENUMS),
    "2024": _pool(ENUMS | {"WorkerStatusEnum": STATES_OF_2024}),
}


def message(name: str, generation: str = "2022") -> Any:
    """A message's class."""
    descriptor = _POOLS[generation].FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


def path(rpc: str) -> str:
    """The HTTP/2 path of a call."""
    return f"/{SERVICE}/{rpc}"
