"""A real S3 server: Ceph's object gateway with one monitor and one object store in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clouds.cloud import Cloud
from tests.clouds.machine import free_ports, install_packages
from tests.clouds.waiting import answers

ACCESS_KEY = "minio"
SECRET_KEY = "pass4minio"

_CONFIGURATION = """\
[global]
fsid = {fsid}
keyring = {data}/keyring
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {data}/run
log file = {logs}/$name.log
mon cluster log file = {logs}/cluster.$channel.log
admin socket = {data}/run/$name.asok
mon data = {data}/mon
osd data = {data}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd memory target = 939524096
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000

[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {data}/rgw
rgw enable usage log = false
"""


@dataclass(frozen=True)
class S3Server:
    """Where the server listens and who may use it."""

    host: str
    port: int
    access_key: str
    secret_key: str


class CephS3(Cloud):
    """Ceph's monitor, memstore OSD and RADOS gateway."""

    name = "s3"

    def install(self) -> None:
        install_packages(["ceph-mon", "ceph-osd", "radosgw", "ceph-common"])

    def start(self) -> None:
        data, logs = self.scratch, self.processes.logs
        for folder in (logs, *(data / part for part in ("mon", "osd", "run", "rgw"))):
            folder.mkdir(parents=True, exist_ok=True)
        v2, v1, port = free_ports(3)
        monitor = f"[v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]"
        fsid = str(uuid.uuid4())
        (data / "ceph.conf").write_text(
            _CONFIGURATION.format(fsid=fsid, data=data, logs=logs, monitor=monitor, port=port)
        )
        self._start_monitor(data, fsid, monitor)
        self._start_object_store(data)
        self._start_gateway(port)
        create = ["user", "create", "--uid=minio", "--display-name=minio"]
        keys = [f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}"]
        self.processes.run(["radosgw-admin", *self._conf(data), "-n", "client.rgw", *create, *keys])
        self.save_facts(host="127.0.0.1", port=port, access_key=ACCESS_KEY, secret_key=SECRET_KEY)

    def server(self) -> S3Server:
        """How to reach the server that is up."""
        return S3Server(**self.facts)

    @contextmanager
    def gateway_down(self, *, hang: bool = False) -> Iterator[None]:
        """The server is away inside the block: refuses connections, or with `hang` hangs."""
        if hang:
            self.processes.pause("rgw")
        else:
            self.processes.stop(["rgw"], grace_s=0)
        try:
            yield
        finally:
            if hang:
                self.processes.resume("rgw")
            else:
                self._start_gateway(self.server().port)

    def _start_gateway(self, port: int) -> None:
        command = ["radosgw", *self._conf(self.scratch), "-f", "-n", "client.rgw"]
        self.processes.start("rgw", command)
        self.await_ready("rgw", lambda: answers(f"http://127.0.0.1:{port}/"))

    def _start_monitor(self, data: Path, fsid: str, monitor: str) -> None:
        monmap, keyring = data / "monmap", data / "keyring"
        run = self.processes.run
        run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, monmap])
        everything = [word for kind in ("mon", "osd", "mgr") for word in ("--cap", kind, "allow *")]
        for name, capabilities in (
            ("mon.", ["--cap", "mon", "allow *"]),
            ("client.admin", everything),
            ("client.rgw", ["--cap", "mon", "allow rwx", "--cap", "osd", "allow rwx"]),
            ("osd.0", ["--cap", "mon", "allow profile osd", "--cap", "osd", "allow *"]),
        ):
            create = [] if keyring.exists() else ["--create-keyring"]
            run(["ceph-authtool", *create, keyring, "--gen-key", "-n", name, *capabilities])
        make = ["--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring]
        run(["ceph-mon", *self._conf(data), *make])
        self.processes.start("mon", ["ceph-mon", *self._conf(data), "-f", "-i", "a"])
        self.await_ready("mon", lambda: self._ceph(data, "mon", "stat"))

    def _start_object_store(self, data: Path) -> None:
        identity = str(uuid.uuid4())
        self._ceph(data, "osd", "new", identity)
        make = ["-i", "0", "--mkfs", "--osd-uuid", identity]
        self.processes.run(["ceph-osd", *self._conf(data), *make])
        self._ceph(data, "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default")
        self.processes.start("osd", ["ceph-osd", *self._conf(data), "-f", "-i", "0"])
        self.await_ready("osd", lambda: " 1 up" in self._ceph(data, "osd", "stat"))

    def _ceph(self, data: Path, *command: str) -> str:
        words = ["ceph", *self._conf(data), "--connect-timeout", "10", *command]
        return self.processes.run(words)

    @staticmethod
    def _conf(data: Path) -> list[str]:
        return ["-c", str(data / "ceph.conf")]
