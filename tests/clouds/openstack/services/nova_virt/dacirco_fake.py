"""A hypervisor for tests: the capacity of a node, a boot delay, and a local process as the guest.

Environment of nova-compute:
  DACIRCO_BEHAVIOUR      folder; HOST.json in it is read at each boot:
                         {"boot_delay_s": [least, most], "refuse": reason or null, "guest": bool,
                          "worker": command}
  DACIRCO_GUESTS         folder; UUID/record.json and UUID/user_data tell of each server
  DACIRCO_GUEST_COMMAND  JSON list; runs the guest, with the server's folder as last argument

A record outlives nova-compute: like VMs, guests run on when it is restarted, and are found again.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import psutil
from nova import exception
from nova.compute import power_state
from nova.virt import fake, hardware

BEHAVIOUR = Path(os.environ["DACIRCO_BEHAVIOUR"])
GUESTS = Path(os.environ["DACIRCO_GUESTS"])
COMMAND = json.loads(os.environ["DACIRCO_GUEST_COMMAND"])


class FakeHypervisor(fake.FakeDriver):
    """Nova's fake driver with guests that do something."""

    vcpus = 6
    memory_mb = 16 * 1024
    local_gb = 200

    def init_host(self, host):
        super().init_host(host)
        for path in GUESTS.glob("*/record.json"):
            record = json.loads(path.read_text())
            if record["host"] == host and not record["destroyed"]:
                name = record["instance_name"]
                self.instances[record["uuid"]] = fake.FakeInstance(
                    name, power_state.RUNNING, record["uuid"]
                )
                self.resources.claim(record["vcpus"], record["memory_mb"], record["disk_gb"])

    def spawn(self, context, instance, image_meta, *args, **kwargs):
        behaviour = json.loads((BEHAVIOUR / f"{instance.host}.json").read_text())
        time.sleep(random.uniform(*behaviour["boot_delay_s"]))
        if behaviour["refuse"]:
            raise exception.ComputeResourcesUnavailable(reason=behaviour["refuse"])
        super().spawn(context, instance, image_meta, *args, **kwargs)
        folder = GUESTS / instance.uuid
        (folder / "disk").mkdir(parents=True)
        user_data = folder / "user_data"
        user_data.touch(mode=0o600)
        user_data.write_bytes(base64.b64decode(instance.user_data or ""))
        record = {
            "uuid": instance.uuid,
            "name": instance.display_name,
            "instance_name": instance.name,
            "host": instance.host,
            "flavor": instance.flavor.name,
            "vcpus": instance.flavor.vcpus,
            "memory_mb": instance.flavor.memory_mb,
            "disk_gb": instance.flavor.root_gb,
            "key_name": instance.key_name,
            "worker": behaviour["worker"],
            "pid": None,
            "created": None,
            "destroyed": False,
        }
        _write(folder, record)
        if behaviour["guest"]:
            with (folder / "log").open("ab") as log:
                guest = subprocess.Popen(
                    [*COMMAND, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            record.update(pid=guest.pid, created=psutil.Process(guest.pid).create_time())
            _write(folder, record)

    def get_info(self, instance, use_cache=True):
        info = super().get_info(instance, use_cache)
        record = _read(instance.uuid)
        if record and record["pid"] and not _guest(record):
            return hardware.InstanceInfo(state=power_state.SHUTDOWN)
        return info

    def destroy(self, context, instance, *args, **kwargs):
        record = _read(instance.uuid)
        if record:
            guest = _guest(record)
            if guest:  # deleting a server pulls its plug
                guest.kill()
                guest.wait(10)
            record["destroyed"] = True
            _write(GUESTS / instance.uuid, record)
            shutil.rmtree(GUESTS / instance.uuid / "disk", ignore_errors=True)
            (GUESTS / instance.uuid / "user_data").unlink(missing_ok=True)
        super().destroy(context, instance, *args, **kwargs)

    def get_host_uptime(self):
        return time.strftime(" %H:%M:%S up 1 day,  0:00,  0 users,  load average: 0, 0, 0")

    # FakeDriver's identity of a node is random for each process, and nova refuses to start on a
    # host that it knows under another one.
    def get_available_resource(self, nodename):
        resources = super().get_available_resource(nodename)
        if resources:
            resources["uuid"] = node_uuid(nodename)
        return resources

    def get_nodenames_by_uuid(self, refresh=False):
        return {node_uuid(name): name for name in self.get_available_nodes()}


def node_uuid(name):
    """A node's identity from its name; the harness writes the same into compute_id."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.dacirco.test"))


def _guest(record):
    """The guest's process while it runs."""
    try:
        guest = psutil.Process(record["pid"])
        same = abs(guest.create_time() - record["created"]) < 2  # the clock may be corrected
        if same and guest.status() != psutil.STATUS_ZOMBIE:
            return guest
    except (psutil.NoSuchProcess, TypeError):
        pass
    return None


def _read(server):
    try:
        return json.loads((GUESTS / server / "record.json").read_text())
    except FileNotFoundError:
        return None


def _write(folder, record):
    new = folder / "record.new"
    new.write_text(json.dumps(record, indent=1))
    new.replace(folder / "record.json")
