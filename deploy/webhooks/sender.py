"""One try to deliver a webhook."""

from __future__ import annotations

import os
from typing import Final

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from deploy.webhooks.signature import EVENT_HEADER, SIGNATURE_HEADER, sign
from deploy.webhooks.target import Allowed, TargetError, parse_target

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
GONE: Final = 410
"""With this status a receiver says that it wants no more of it."""


class DeliveryError(Exception):
    """It was not delivered.

    Attributes:
        final: it is no use to try again.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Sender:
    """Sends webhooks; blocks, for threads.

    Args:
        secret: of the signature.
        allowed: where they may go.
    """

    def __init__(self, secret: bytes, allowed: Allowed) -> None:
        self._secret, self._allowed = secret, allowed

    def check(self, url: str) -> None:
        """See that a URL could be one; its name is looked up when it is called.

        Raises:
            TargetError: it could not.
        """
        self._allowed.check_early(parse_target(url))

    def send(self, url: str, body: str, event_id: str, moment: float) -> None:
        """Send one; its receiver has it when this returns.

        Args:
            url: where to.
            body: JSON.
            event_id: the same at each try.
            moment: now, seconds since the epoch.

        Raises:
            DeliveryError: it was not taken.
        """
        try:
            target = parse_target(url)
            address = self._allowed.address_of(target)
        except TargetError as error:
            raise DeliveryError(str(error)) from None
        content = body.encode()
        headers = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "User-Agent": "DaCirco",
            EVENT_HEADER: event_id,
            SIGNATURE_HEADER: sign(self._secret, content, int(moment)),
        }
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S)
        pool: urllib3.HTTPConnectionPool
        if target.secure:
            pool = urllib3.HTTPSConnectionPool(
                address,
                target.port,
                server_hostname=target.host,
                assert_hostname=target.host,
                cert_reqs="CERT_REQUIRED",
                ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            )
        else:
            pool = urllib3.HTTPConnectionPool(address, target.port)
        with pool:
            try:
                reply = pool.urlopen(
                    *("POST", target.path, content, headers),
                    retries=False,
                    redirect=False,
                    timeout=timeout,
                    preload_content=False,
                )
                reply.close()
            except (HTTPError, OSError) as error:
                raise DeliveryError(f"no answer: {type(error).__name__}") from None
        if not 200 <= reply.status < 300:
            raise DeliveryError(f"the answer was {reply.status}", final=reply.status == GONE)
