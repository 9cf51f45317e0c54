"""Where everything lies: the flat record of a data centre, and that of the episode that it plays.

A data centre is a row of float64 and a row of int32 (its state). The episode is another such pair
(what does not change: figures of the profile, jobs), which all data centres that play it share.
The scalars come first, then one record a flavor, at places known here; then one record a node, one
a worker, and so on, at offsets that the episode's row tells (`env.engine.episode`).

Times are seconds, vCPUs thousandths (millicores), RAM MiB. -1 stands for none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from env.engine.arrivals import SIZE as _ARRIVALS_SIZE

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class Centre(NamedTuple):
    """A data centre, as all compiled functions take it.

    Attributes:
        f: its state, floats.
        i: its state, whole numbers.
        ef: the episode's constants and jobs, floats.
        ei: the same, whole numbers.
    """

    f: Floats
    i: Ints
    ef: Floats
    ei: Ints


# -- state: floats ------------------------------------------------------------------------

(
    NOW,
    NEXT_CREATION,  # the cloud creates no worker before
    WAKE,  # when the policy asked to be woken, infinite if it did not
    PREFERENCE,
    JOBS,  # in the system: a level (`env.level.Level`) is its value, its area and since when
    JOBS_AREA,
    JOBS_SINCE,
    CPU,  # reserved millicores
    CPU_AREA,
    CPU_SINCE,
    RAM,  # reserved MiB
    RAM_AREA,
    RAM_SINCE,
    BUSY_UNTIL,  # sum of the expected ends of busy workers
    PAID_JOBS,  # the integrals at the latest decision
    PAID_CORES,
    BUSY_CPU,  # millicores of busy workers
    BUSY_AREA,
    BUSY_SINCE,
    ARRIVALS,  # see `env.engine.arrivals`
) = range(20)
OBS_CACHE: Final = ARRIVALS + _ARRIVALS_SIZE
"""What the observation keeps between decisions at the same time (`env.engine.observe`)."""
OBS_CACHE_SIZE: Final = 12

FLAVORS_F: Final = OBS_CACHE + OBS_CACHE_SIZE
(
    QUEUED,  # expected service seconds of the queue
    MEAN_SERVICE,
    FLAVOR_F,
) = range(3)

# A node's floats: two clocks of shared progress, of the transcodes and of the boots.
(
    CLOCK,
    UPDATED,
    SLOWDOWN,
    PROGRESS_F,
) = range(4)
TRANSCODES: Final = 0
BOOTS: Final = 1
NODE_F: Final = 2 * PROGRESS_F

(
    SPAWNED_AT,
    IDLE_SINCE,
    EXPECTED_END,
    FINISH,  # of what it runs on its node, by the node's clock; until it is created its boot
    WORKER_F,
) = range(5)

# -- state: whole numbers -----------------------------------------------------------------

(
    SEQ,  # running number of whatever is scheduled, queued or started: breaks ties
    EVENTS,  # in the heap
    ARRIVED,
    EPOCH,  # why the latest decision was due, see `env.simulator.Epoch`
    DONE,
    INVALID,
    SPAWNS,
    STOPS,
    WAITING,
    IN_SERVICE,
    N_BOOTING,
    N_IDLE,
    N_BUSY,
    N_DRAINING,
    N_RETIRING,
    N_WORKERS,
    NODES_CACHED,
    COMPLETED,
    FAILED,
    SPAWN_FAILURES,
    WORKERS_LOST,
    REQUEUED,
    BOOT_FIRST,  # the booting workers in the order of their spawns: a list
    BOOT_LAST,
    FREE,  # the first free slot for a worker
    OLDEST,  # no job before this one waits
    ENDS,  # workers in the heap of expected ends
    KEY_LOW,  # of the noise
    KEY_HIGH,
    EPISODE,  # slot of the episode
    TRACED,  # entries of the trace
    QUEUE_FULL,  # set if a job found no place: the state is worthless from then on
    OBS_COUNT,  # of arrivals, one more, that OBS_CACHE is for; 0 if it is empty
    FLAVORS_I,
) = range(34)

(
    BOOTING,
    IDLE,
    BUSY,
    DRAINING,
    FITS,
    IDLE_FIRST,  # the idle workers in the order in which they became idle: a list
    IDLE_LAST,
    REGISTERED,
    SPAWN_FAILURES_OF,
    FLAVOR_I,
) = range(10)

(
    FREE_MC,
    FREE_MIB,
    WORKERS,
    BOOTING_HERE,
    CACHED,
    LOAD,  # thousandths of a vCPU
    RUNS,  # transcodes, then boots in progress
    _BOOT_RUNS,
    NODE_I,
) = range(9)

(
    STATE,  # see `env.worker.WorkerState`, -1 for a free slot
    PHASE,
    FLAVOR,
    NODE,
    JOB,
    BIRTH,  # number of its spawn
    RETIRING,
    DOOMED,
    CREATED,
    ORDER,  # breaks ties among what runs on the node
    PREVIOUS,  # in the list of the idle or of the booting, or of the free
    NEXT,
    END_AT,  # place in the heap of expected ends
    USED_MC,
    USED_MIB,
    WORKER_I,
) = range(16)

FREE_SLOT: Final = -1

# Slots of the event heap: these, then two a node, then one or two a worker.
(
    ARRIVAL,
    TICK,
    CUT_OFF,
    WAKE_UP,
    NODE_EVENTS,
) = range(5)

# -- episode: floats ----------------------------------------------------------------------

(
    TICK_S,
    LIMIT_S,
    BOOT_MEDIAN,
    BOOT_SIGMA,
    COPY_S,
    COPY_SIGMA,
    CROWD_KNEE,
    CROWD_SLOPE,
    CROWD_LIMIT,
    SPACING,
    STOP_MEDIAN,
    STOP_SIGMA,
    KNEE,
    SLOPE,
    SPAWN_FAILURE,
    LOSS_PER_HOUR,
    TRANSCODE_ERROR,
    BOOT_S,  # that is expected
    CPU_WEIGHT,  # equivalent cores of a reserved millicore
    RAM_WEIGHT,
    LIMIT_MC,
    LIMIT_MIB,
    CORES,  # of all nodes
    CAPACITY_VCPUS,
    CAPACITY_RAM_GIB,
    MAX_JOBS,  # more in the system end the episode
    MEAN_SCATTER,  # of a transcode, as is expected
    FLAVORS_EF,
) = range(28)

(
    COST,  # equivalent cores
    FLAVOR_EF,
) = range(2)

(
    NODE_CORES,
    NODE_EF,
) = range(2)

# A kind of job's floats: for each flavor the speed-up that is expected, then for each the true one.

# A job's floats (`env.engine.jobs` tells what follows from them), and after them those of
# `LUCK_AT`, `STANDING_AT` and `TRUE_ALONE_AT` where the episode needs them.
(
    ARRIVES_AT,
    DOWNLOAD,
    UPLOAD,
    SCATTER,  # of its transcode
    ALONE,  # its transcode on one vCPU, as is expected, without scatter
    TRANSFER,  # both transfers, likewise
    JOB_COLUMNS,
) = range(7)

# A job's whole numbers.
(
    KIND,
    BITRATE,  # asked for, kbit/s
    JOB_EI,
) = range(3)

# -- episode: whole numbers ---------------------------------------------------------------

(
    N_NODES,
    N_FLAVORS,
    N_JOBS,
    N_SLOTS,  # for workers
    MAX_WORKERS,
    PLACEMENT,
    DISCIPLINE,
    ENDS_WITH_JOBS,
    BOOT_LOAD,
    IDLE_MC,
    BASE_MIB,
    IMAGE_CACHED,
    CAPACITY_0,  # workers of the smallest flavor that the empty cluster holds
    NODES_F,  # offsets into the state
    WORKERS_F,
    EVENTS_F,
    TRACE_F,
    ASSIGNED_F,
    ENDED_F,
    NODES_I,
    WORKERS_I,
    EVENTS_I,
    ENDS_I,
    RUNS_I,
    BY_FREE_I,
    BY_COUNT_I,
    QUEUE_I,
    BITS_I,
    TRACE_I,
    N_EVENTS,  # slots of the heap
    LOSS_EVENTS,  # the first slot of a loss, -1 if no worker is ever lost
    QUEUE_SIZE,
    TRACE_SIZE,  # entries, 0 for no trace
    NODES_EF,  # offsets into the episode
    NODES_EI,
    KINDS_EF,
    KINDS_EI,
    JOBS_EF,
    JOBS_EI,
    JOB_F,  # length of a job's record
    LUCK_AT,  # column of the job's luck, -1 where no transcode fails
    STANDING_AT,  # of what does not change of its priority, -1 under another discipline
    TRUE_ALONE_AT,  # of its transcode on one vCPU: `ALONE` where what is expected is true
    FIRST_JOB,  # those before it have left and have no record
    RULE_F,  # offsets into the state: what a rule remembers, at the end of the rows
    RULE_I,
    FLAVORS_EI,
) = range(47)

(
    MILLICORES,
    MIB,
    BOOT_MC,  # that a boot really uses
    CAPACITY_OF,
    FLAVOR_EI,
) = range(5)

(
    CAPACITY_MC,
    CAPACITY_MIB,
    RUNS_AT,  # where its runs begin, from RUNS_I on; the boots lie RUNS_SIZE further
    RUNS_SIZE,
    NODE_EI,
) = range(5)

# Jobs with the same frame size are of a kind. Its whole numbers: for each flavor the load, then for
# each what the transcode really uses.
(
    KIND_LOAD,
    KIND_USED_MC,
    KIND_USED_MIB,
    KIND_COLUMNS,
) = range(4)

LEAST_LOADED: Final = 0
SPREAD: Final = 1
CONCENTRATE: Final = 2

FCFS: Final = 0
SJF: Final = 1
PRIORITY: Final = 2

# An entry of the trace: a time, and these.
(
    TRACE_NODE,
    TRACE_USED_MC,
    TRACE_USED_MIB,
    TRACE_MC,
    TRACE_MIB,
    TRACE_ENTRY,
) = range(6)
