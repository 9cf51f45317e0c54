"""What libraries may say in a program's log."""

from __future__ import annotations

import logging

import pytest
from keystoneauth1.exceptions import ConnectFailure
from keystoneauth1.session import Session

from deploy.log_file import quiet_libraries


def test_the_user_data_of_a_vm_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with caplog.at_level(logging.NOTSET, "keystoneauth"):  # given back at the end
        quiet_libraries()
        with pytest.raises(ConnectFailure):
            Session().post("http://127.0.0.1:9/servers", json={"user_data": "hush"}, log=True)
    assert "hush" not in caplog.text
