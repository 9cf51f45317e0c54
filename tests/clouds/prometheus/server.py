"""A real Prometheus that scrapes three real node exporters under the names of the three nodes."""

from __future__ import annotations

import json

from tests.clouds.cloud import Cloud
from tests.clouds.machine import free_ports, install_packages
from tests.clouds.waiting import answers

NODES = ("compute1", "compute2", "compute3")


class PrometheusServer(Cloud):
    """Prometheus and three node exporters; all three measure this machine."""

    name = "prometheus"

    def install(self) -> None:
        install_packages(["prometheus", "prometheus-node-exporter"])

    def start(self) -> None:
        port, *exporters = free_ports(1 + len(NODES))
        for node, exporter in zip(NODES, exporters, strict=True):
            listen = f"--web.listen-address=127.0.0.1:{exporter}"
            self.processes.start(
                f"exporter-{node}", ["prometheus-node-exporter", listen, "--log.level=warn"]
            )
        # A label of the target goes before the address of the scrape: the exporters appear
        # under the names that they have in the data centre.
        targets = [
            {"targets": [f"127.0.0.1:{exporter}"], "labels": {"instance": f"{node}:9100"}}
            for node, exporter in zip(NODES, exporters, strict=True)
        ]
        configuration = self.scratch / "prometheus.json"
        configuration.write_text(  # JSON is YAML
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [{"job_name": "node", "static_configs": targets}],
                }
            )
        )
        self.processes.start(
            "prometheus",
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={self.scratch / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=2h",
                "--log.level=warn",
            ],
        )
        self.await_ready("prometheus", lambda: answers(f"http://127.0.0.1:{port}/-/ready"))
        self.save_facts(host="127.0.0.1", port=port, exporters=exporters)

    @property
    def port(self) -> int:
        """The port of Prometheus on 127.0.0.1."""
        return int(self.facts["port"])
