from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NewJob(_message.Message):
    __slots__ = ("input_video", "output_video", "bitrate", "speed", "idempotency_key", "labels", "priority", "deadline", "webhook")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    BITRATE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    input_video: str
    output_video: str
    bitrate: int
    speed: str
    idempotency_key: str
    labels: _containers.ScalarMap[str, str]
    priority: str
    deadline: float
    webhook: str
    def __init__(self, input_video: _Optional[str] = ..., output_video: _Optional[str] = ..., bitrate: _Optional[int] = ..., speed: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[str] = ..., deadline: _Optional[float] = ..., webhook: _Optional[str] = ...) -> None: ...

class SubmittedJob(_message.Message):
    __slots__ = ("job_id", "known_before")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_BEFORE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    known_before: bool
    def __init__(self, job_id: _Optional[str] = ..., known_before: _Optional[bool] = ...) -> None: ...

class JobName(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class JobTimes(_message.Message):
    __slots__ = ("received", "retried", "assigned", "started", "downloaded", "transcoded", "uploaded", "ended")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    RETRIED_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    DOWNLOADED_FIELD_NUMBER: _ClassVar[int]
    TRANSCODED_FIELD_NUMBER: _ClassVar[int]
    UPLOADED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    received: float
    retried: float
    assigned: float
    started: float
    downloaded: float
    transcoded: float
    uploaded: float
    ended: float
    def __init__(self, received: _Optional[float] = ..., retried: _Optional[float] = ..., assigned: _Optional[float] = ..., started: _Optional[float] = ..., downloaded: _Optional[float] = ..., transcoded: _Optional[float] = ..., uploaded: _Optional[float] = ..., ended: _Optional[float] = ...) -> None: ...

class FailedAttempt(_message.Message):
    __slots__ = ("worker_id", "reason", "fault", "time")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    reason: str
    fault: str
    time: float
    def __init__(self, worker_id: _Optional[str] = ..., reason: _Optional[str] = ..., fault: _Optional[str] = ..., time: _Optional[float] = ...) -> None: ...

class Expected(_message.Message):
    __slots__ = ("earliest", "likely", "latest")
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    LIKELY_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    earliest: float
    likely: float
    latest: float
    def __init__(self, earliest: _Optional[float] = ..., likely: _Optional[float] = ..., latest: _Optional[float] = ...) -> None: ...

class JobDetails(_message.Message):
    __slots__ = ("job_id", "input_video", "output_video", "bitrate", "speed", "state", "error", "attempts", "worker_id", "times", "failed_attempts", "step", "done_percent", "encoding_speed", "queue_position", "held", "expected", "labels", "priority", "deadline", "webhook")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_VIDEO_FIELD_NUMBER: _ClassVar[int]
    BITRATE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    FAILED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DONE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    ENCODING_SPEED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    input_video: str
    output_video: str
    bitrate: int
    speed: str
    state: str
    error: str
    attempts: int
    worker_id: str
    times: JobTimes
    failed_attempts: _containers.RepeatedCompositeFieldContainer[FailedAttempt]
    step: str
    done_percent: float
    encoding_speed: float
    queue_position: int
    held: bool
    expected: Expected
    labels: _containers.ScalarMap[str, str]
    priority: str
    deadline: float
    webhook: str
    def __init__(self, job_id: _Optional[str] = ..., input_video: _Optional[str] = ..., output_video: _Optional[str] = ..., bitrate: _Optional[int] = ..., speed: _Optional[str] = ..., state: _Optional[str] = ..., error: _Optional[str] = ..., attempts: _Optional[int] = ..., worker_id: _Optional[str] = ..., times: _Optional[_Union[JobTimes, _Mapping]] = ..., failed_attempts: _Optional[_Iterable[_Union[FailedAttempt, _Mapping]]] = ..., step: _Optional[str] = ..., done_percent: _Optional[float] = ..., encoding_speed: _Optional[float] = ..., queue_position: _Optional[int] = ..., held: _Optional[bool] = ..., expected: _Optional[_Union[Expected, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[str] = ..., deadline: _Optional[float] = ..., webhook: _Optional[str] = ...) -> None: ...

class JobQuery(_message.Message):
    __slots__ = ("limit", "after", "states", "labels", "since", "before", "with_details", "newest_first", "offset")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    WITH_DETAILS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    limit: int
    after: str
    states: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    since: float
    before: float
    with_details: bool
    newest_first: bool
    offset: int
    def __init__(self, limit: _Optional[int] = ..., after: _Optional[str] = ..., states: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., since: _Optional[float] = ..., before: _Optional[float] = ..., with_details: _Optional[bool] = ..., newest_first: _Optional[bool] = ..., offset: _Optional[int] = ...) -> None: ...

class JobPage(_message.Message):
    __slots__ = ("job_ids", "jobs", "has_more")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    jobs: _containers.RepeatedCompositeFieldContainer[JobDetails]
    has_more: bool
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., jobs: _Optional[_Iterable[_Union[JobDetails, _Mapping]]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class ResultPlace(_message.Message):
    __slots__ = ("name", "size", "etag", "modified", "url")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    etag: str
    modified: float
    url: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., etag: _Optional[str] = ..., modified: _Optional[float] = ..., url: _Optional[str] = ...) -> None: ...

class ResultRange(_message.Message):
    __slots__ = ("job_id", "first", "length")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    first: int
    length: int
    def __init__(self, job_id: _Optional[str] = ..., first: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class ResultPart(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    def __init__(self, content: _Optional[bytes] = ...) -> None: ...
