from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RequestStatusEnum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REQUEST_STATUS_INVALID: _ClassVar[RequestStatusEnum]
    REQUEST_STATUS_WAITING: _ClassVar[RequestStatusEnum]
    REQUEST_STATUS_STARTED: _ClassVar[RequestStatusEnum]
    REQUEST_STATUS_COMPLETED: _ClassVar[RequestStatusEnum]
    REQUEST_STATUS_ERROR: _ClassVar[RequestStatusEnum]
    REQUEST_STATUS_NOT_FOUND: _ClassVar[RequestStatusEnum]

class WorkerStatusEnum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATUS_INVALID: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_BOOTING: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_DOWNLOADING_FILE: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_TRANSCODING: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_UPLOADING_FILE: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_IDLE: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_STOPPED: _ClassVar[WorkerStatusEnum]
    WORKER_STATUS_NOT_FOUND: _ClassVar[WorkerStatusEnum]

class GrpcEventTypeEnum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_INVALID: _ClassVar[GrpcEventTypeEnum]
    EVENT_FILE_DOWNLOADED: _ClassVar[GrpcEventTypeEnum]
    EVENT_TRANSCODING_COMPLETED: _ClassVar[GrpcEventTypeEnum]
    EVENT_FILE_UPLOADED: _ClassVar[GrpcEventTypeEnum]
    EVENT_KEEPALIVE: _ClassVar[GrpcEventTypeEnum]

class GrpcErrorType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_INVALID: _ClassVar[GrpcErrorType]
    ERROR_TRANSCODING_FAILED: _ClassVar[GrpcErrorType]
    ERROR_STORAGE_ERROR: _ClassVar[GrpcErrorType]

class FaultEnum(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_UNKNOWN: _ClassVar[FaultEnum]
    FAULT_JOB: _ClassVar[FaultEnum]
    FAULT_WORKER: _ClassVar[FaultEnum]
    FAULT_STORAGE: _ClassVar[FaultEnum]
    FAULT_NONE: _ClassVar[FaultEnum]
REQUEST_STATUS_INVALID: RequestStatusEnum
REQUEST_STATUS_WAITING: RequestStatusEnum
REQUEST_STATUS_STARTED: RequestStatusEnum
REQUEST_STATUS_COMPLETED: RequestStatusEnum
REQUEST_STATUS_ERROR: RequestStatusEnum
REQUEST_STATUS_NOT_FOUND: RequestStatusEnum
WORKER_STATUS_INVALID: WorkerStatusEnum
WORKER_STATUS_BOOTING: WorkerStatusEnum
WORKER_STATUS_DOWNLOADING_FILE: WorkerStatusEnum
WORKER_STATUS_TRANSCODING: WorkerStatusEnum
WORKER_STATUS_UPLOADING_FILE: WorkerStatusEnum
WORKER_STATUS_IDLE: WorkerStatusEnum
WORKER_STATUS_STOPPED: WorkerStatusEnum
WORKER_STATUS_NOT_FOUND: WorkerStatusEnum
EVENT_INVALID: GrpcEventTypeEnum
EVENT_FILE_DOWNLOADED: GrpcEventTypeEnum
EVENT_TRANSCODING_COMPLETED: GrpcEventTypeEnum
EVENT_FILE_UPLOADED: GrpcEventTypeEnum
EVENT_KEEPALIVE: GrpcEventTypeEnum
ERROR_INVALID: GrpcErrorType
ERROR_TRANSCODING_FAILED: GrpcErrorType
ERROR_STORAGE_ERROR: GrpcErrorType
FAULT_UNKNOWN: FaultEnum
FAULT_JOB: FaultEnum
FAULT_WORKER: FaultEnum
FAULT_STORAGE: FaultEnum
FAULT_NONE: FaultEnum

class Empty(_message.Message):
    __slots__ = ("limit", "after", "offset")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    offset: int
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class TCRequest(_message.Message):
    __slots__ = ("input_video", "output_video", "bitrate", "speed")
    INPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    BITRATE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    input_video: str
    output_video: str
    bitrate: int
    speed: str
    def __init__(self, input_video: _Optional[str] = ..., output_video: _Optional[str] = ..., bitrate: _Optional[int] = ..., speed: _Optional[str] = ...) -> None: ...

class TCRequestReply(_message.Message):
    __slots__ = ("success", "error_message", "request_id")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error_message: str
    request_id: str
    def __init__(self, success: _Optional[bool] = ..., error_message: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RequestID(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class RequestIDList(_message.Message):
    __slots__ = ("request_ids", "is_page", "has_more")
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    IS_PAGE_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    is_page: bool
    has_more: bool
    def __init__(self, request_ids: _Optional[_Iterable[str]] = ..., is_page: _Optional[bool] = ..., has_more: _Optional[bool] = ...) -> None: ...

class TCRequestStatus(_message.Message):
    __slots__ = ("request_status", "error_message")
    REQUEST_STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_status: RequestStatusEnum
    error_message: str
    def __init__(self, request_status: _Optional[_Union[RequestStatusEnum, str]] = ..., error_message: _Optional[str] = ...) -> None: ...

class WorkerID(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class WorkerIDList(_message.Message):
    __slots__ = ("worker_ids", "is_page", "has_more")
    WORKER_IDS_FIELD_NUMBER: _ClassVar[int]
    IS_PAGE_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    worker_ids: _containers.RepeatedScalarFieldContainer[str]
    is_page: bool
    has_more: bool
    def __init__(self, worker_ids: _Optional[_Iterable[str]] = ..., is_page: _Optional[bool] = ..., has_more: _Optional[bool] = ...) -> None: ...

class WorkerFullDesc(_message.Message):
    __slots__ = ("name", "id", "cpus", "memory", "node")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    cpus: str
    memory: str
    node: str
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., cpus: _Optional[str] = ..., memory: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class WorkerGrpcState(_message.Message):
    __slots__ = ("worker_status",)
    WORKER_STATUS_FIELD_NUMBER: _ClassVar[int]
    worker_status: WorkerStatusEnum
    def __init__(self, worker_status: _Optional[_Union[WorkerStatusEnum, str]] = ...) -> None: ...

class gRPCServiceReply(_message.Message):
    __slots__ = ("success", "error_message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error_message: str
    def __init__(self, success: _Optional[bool] = ..., error_message: _Optional[str] = ...) -> None: ...

class WorkerDesc(_message.Message):
    __slots__ = ("name", "id", "takes_cancels", "task_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TAKES_CANCELS_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    takes_cancels: bool
    task_id: str
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., takes_cancels: _Optional[bool] = ..., task_id: _Optional[str] = ...) -> None: ...

class TCTask(_message.Message):
    __slots__ = ("input_video", "output_video", "bitrate", "speed", "request_id", "worker_id", "task_id", "cancelled")
    INPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    BITRATE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    input_video: str
    output_video: str
    bitrate: int
    speed: str
    request_id: str
    worker_id: str
    task_id: str
    cancelled: bool
    def __init__(self, input_video: _Optional[str] = ..., output_video: _Optional[str] = ..., bitrate: _Optional[int] = ..., speed: _Optional[str] = ..., request_id: _Optional[str] = ..., worker_id: _Optional[str] = ..., task_id: _Optional[str] = ..., cancelled: _Optional[bool] = ...) -> None: ...

class GrpcEvent(_message.Message):
    __slots__ = ("event_type", "worker_id", "task_id", "output_size", "output_sha256", "progress_task_id", "done_percent", "encoding_speed")
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_SPEED_FIELD_NUMBER: _ClassVar[int]
    event_type: GrpcEventTypeEnum
    worker_id: str
    task_id: str
    output_size: int
    output_sha256: str
    progress_task_id: str
    done_percent: float
    encoding_speed: float
    def __init__(self, event_type: _Optional[_Union[GrpcEventTypeEnum, str]] = ..., worker_id: _Optional[str] = ..., task_id: _Optional[str] = ..., output_size: _Optional[int] = ..., output_sha256: _Optional[str] = ..., progress_task_id: _Optional[str] = ..., done_percent: _Optional[float] = ..., encoding_speed: _Optional[float] = ...) -> None: ...

class GrpcErrorEvent(_message.Message):
    __slots__ = ("error_type", "error_message", "worker_id", "task_id", "fault")
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    error_type: GrpcErrorType
    error_message: str
    worker_id: str
    task_id: str
    fault: FaultEnum
    def __init__(self, error_type: _Optional[_Union[GrpcErrorType, str]] = ..., error_message: _Optional[str] = ..., worker_id: _Optional[str] = ..., task_id: _Optional[str] = ..., fault: _Optional[_Union[FaultEnum, str]] = ...) -> None: ...
