"""The configuration files of the OpenStack services."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping

from tests.clouds.openstack.layout import COMPUTES, Layout, write_ini

_POOL = {"max_pool_size": 5, "max_overflow": 20}
_SILENT = {"driver": "noop"}


def write_configurations(layout: Layout) -> None:
    """Write them all below `layout.etc`."""
    _keystone(layout)
    _placement(layout)
    _glance(layout)
    _neutron(layout)
    _nova(layout)


def node_uuid(host: str) -> str:
    """A compute node's identity, the same as in services/nova_virt/dacirco_fake.py."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{host}.dacirco.test"))


def _service_user(layout: Layout) -> dict[str, object]:
    return {
        "auth_type": "password",
        "auth_url": layout.auth_url,
        "username": "services",
        "password": layout.password,
        "project_name": "services",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": "RegionOne",
    }


def _token_check(layout: Layout) -> dict[str, object]:
    return {
        **_service_user(layout),
        "www_authenticate_uri": layout.auth_url,
        "service_token_roles": "service",
        "service_token_roles_required": "true",
    }


def _keystone(layout: Layout) -> None:
    write_ini(
        layout.etc / "keystone/keystone.conf",
        {
            "DEFAULT": {"log_file": layout.logs / "keystone.log"},
            "database": {"connection": layout.database("keystone"), **_POOL},
            "token": {"provider": "fernet", "expiration": 86400},
            "fernet_tokens": {"key_repository": layout.data / "fernet"},
            "fernet_receipts": {"key_repository": layout.data / "fernet"},
            "credential": {"key_repository": layout.data / "credential-keys"},
            "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            "identity": {"password_hash_rounds": 4},
            "oslo_messaging_notifications": _SILENT,
        },
    )


def _placement(layout: Layout) -> None:
    write_ini(
        layout.etc / "placement/placement.conf",
        {
            "DEFAULT": {"log_file": layout.logs / "placement.log"},
            "api": {"auth_strategy": "keystone"},
            "placement_database": {"connection": layout.database("placement"), **_POOL},
            "keystone_authtoken": _token_check(layout),
        },
    )


def _glance(layout: Layout) -> None:
    folder = layout.etc / "glance"
    shutil.copytree(layout.venv / "etc/glance", folder, dirs_exist_ok=True)
    store = "filesystem_store_datadir"
    write_ini(
        folder / "glance-api.conf",
        {
            "DEFAULT": {
                "log_file": layout.logs / "glance.log",
                "enabled_backends": "files:file",
                "enabled_import_methods": "[]",
                "transport_url": layout.message_queue,
                "worker_self_reference_url": layout.url("glance"),
            },
            "database": {"connection": layout.database("glance"), **_POOL},
            "glance_store": {"default_backend": "files"},
            "files": {store: layout.data / "images"},
            "os_glance_staging_store": {store: layout.data / "staging"},
            "os_glance_tasks_store": {store: layout.data / "tasks"},
            "keystone_authtoken": _token_check(layout),
            "paste_deploy": {
                "flavor": "keystone",
                "config_file": folder / "glance-api-paste.ini",
            },
            "oslo_messaging_notifications": _SILENT,
        },
    )


def _neutron(layout: Layout) -> None:
    write_ini(
        layout.etc / "neutron/neutron.conf",
        {
            "DEFAULT": {
                "log_file": layout.logs / "neutron.log",
                "core_plugin": "ml2",
                "service_plugins": "",
                "transport_url": layout.message_queue,
                "auth_strategy": "keystone",
                "dhcp_agent_notification": "false",
                "api_paste_config": layout.venv / "etc/neutron/api-paste.ini",
                "state_path": layout.data / "neutron",
                "notify_nova_on_port_status_changes": "false",
                "notify_nova_on_port_data_changes": "false",
            },
            "database": {"connection": layout.database("neutron"), **_POOL},
            "keystone_authtoken": _token_check(layout),
            "oslo_concurrency": {"lock_path": layout.data / "neutron/lock"},
            "oslo_messaging_notifications": _SILENT,
            "ml2": {
                "type_drivers": "local",
                "project_network_types": "local",
                "mechanism_drivers": "dacirco_fake",
                "extension_drivers": "port_security",
            },
            "securitygroup": {"enable_security_group": "true"},
            "quotas": {"quota_port": -1, "quota_security_group": -1},
        },
    )


def _nova(layout: Layout) -> None:
    """One configuration for API, conductor, scheduler and nova-manage; one for each compute."""
    databases = {
        "api_database": {"connection": layout.database("nova_api"), **_POOL},
        "database": {"connection": layout.database("nova_cell1"), **_POOL},
    }
    for name in ("api", "conductor", "scheduler", "manage"):
        write_ini(
            layout.etc / f"nova-{name}/nova.conf",
            {**_nova_common(layout, name, "controller"), **databases},
        )
    shutil.copy(layout.venv / "etc/nova/api-paste.ini", layout.etc / "nova-api/api-paste.ini")
    for host in COMPUTES:
        common = _nova_common(layout, host, host)
        (layout.data / host / "instances").mkdir(parents=True)
        (layout.data / host / "compute_id").write_text(node_uuid(host))
        driver = {
            "compute_driver": "dacirco_fake.FakeHypervisor",
            "state_path": layout.data / host,
            "instances_path": layout.data / host / "instances",
            # A guest that dies is seen within these seconds, where a hypervisor would tell at once.
            "sync_power_state_interval": 3,
        }
        write_ini(
            layout.etc / f"nova-{host}/nova.conf",
            {
                **common,
                "DEFAULT": {**common["DEFAULT"], **driver},
                "oslo_concurrency": {"lock_path": layout.data / host / "lock"},
                # A host with failing builds stays in service: the tests decide when it is well.
                "compute": {"consecutive_build_service_disable_threshold": 0},
            },
        )


def _nova_common(layout: Layout, name: str, host: str) -> dict[str, Mapping[str, object]]:
    filters = ("Compute", "ComputeCapabilities", "ImageProperties", "ServerGroupAntiAffinity")
    filters += ("ServerGroupAffinity", "SameHost", "DifferentHost", "Json")
    return {
        "DEFAULT": {
            "transport_url": layout.message_queue,
            "my_ip": "127.0.0.1",
            "state_path": layout.data / "nova",
            "log_file": layout.logs / f"nova-{name}.log",
            "host": host,
            "rpc_response_timeout": 60,
            "initial_cpu_allocation_ratio": 1.0,
            "initial_ram_allocation_ratio": 1.0,
            "initial_disk_allocation_ratio": 1.0,
            "reserved_host_memory_mb": 0,
            "service_down_time": 20,
            "report_interval": 4,
            "periodic_fuzzy_delay": 0,
        },
        "api": {"auth_strategy": "keystone", "response_validation": "ignore"},
        "keystone_authtoken": _token_check(layout),
        "service_user": {"send_service_user_token": "true", **_service_user(layout)},
        "placement": _service_user(layout),
        "glance": {"endpoint_override": layout.url("glance")},
        "neutron": {"endpoint_override": layout.url("neutron"), **_service_user(layout)},
        "oslo_concurrency": {"lock_path": layout.data / "nova/lock"},
        "oslo_messaging_notifications": _SILENT,
        "conductor": {"workers": 1},
        "scheduler": {
            "workers": 1,
            "max_attempts": 3,
            "discover_hosts_in_cells_interval": 2,
        },
        "filter_scheduler": {
            "enabled_filters": ",".join(f"{name}Filter" for name in filters),
            # One failed build would keep its host at the end of the list for the tests after.
            "build_failure_weight_multiplier": 0,
        },
        "quota": {"cores": -1, "ram": -1, "instances": -1},
    }
