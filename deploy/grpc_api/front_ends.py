"""Who may make the calls of a front end: submit jobs, and list jobs and workers.

A front end on the controller's own machine may, as it always could. One elsewhere shows a token
that both sides have in a file, or a certificate of its own, or comes from a network that the
operator trusts because its front end can do neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.grpc_api import jobs_pb2, page_pb2
from deploy.grpc_api.peers import Network, OwnAddresses, address_of, is_inside, is_unix
from deploy.grpc_api.tokens import OPTION, Tokens

CALLS: Final = frozenset(
    {
        "submit_request",
        "get_requests",
        "get_request",
        "get_request_status",
        "get_workers",
        "get_worker",
        "get_worker_status",
        *(method.name for method in jobs_pb2.DESCRIPTOR.services_by_name["DaCircoJobs"].methods),
        *(method.name for method in page_pb2.DESCRIPTOR.services_by_name["DaCircoPage"].methods),
    }
)
"""The calls of front ends."""
CERTIFICATE: Final = "x509_pem_cert"
"""What gRPC knows of a caller whose certificate it has checked against the front ends' CA."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a caller is turned away: for the metric, and for people."""

    kind: str
    words: str


_FIX: Final = (
    f"give both sides a token ({OPTION}), or see --front-end-port and --trust-front-ends of "
    "dacirco_controller"
)
NO_CREDENTIAL: Final = Refusal(
    "no-credential", f"this call is taken from the controller's machine only: {_FIX}"
)
WRONG_TOKEN: Final = Refusal(
    "wrong-token", f"the front end's token is not the controller's: {_FIX}"
)


@dataclass(slots=True)
class FrontEnds:
    """Tells who may.

    Attributes:
        tokens: which are taken; none: no token opens anything.
        trusted: networks whose callers need nothing.
        local_needs_token: callers of this machine are strangers, too (it has other users, or
            something forwards connections from elsewhere, which then look local).
        own: this machine's addresses.
    """

    tokens: Tokens | None = None
    trusted: Sequence[Network] = ()
    local_needs_token: bool = False
    own: OwnAddresses = field(default_factory=OwnAddresses)

    def refusal(
        self,
        peer: str,
        metadata: Iterable[tuple[str, str | bytes]],
        credentials: Mapping[str, object],
    ) -> Refusal | None:
        """Why a caller may not, none if it may.

        Args:
            peer: as gRPC tells it.
            metadata: of the call.
            credentials: what gRPC has checked of the connection.
        """
        if CERTIFICATE in credentials:
            return None
        shown = None if self.tokens is None else self.tokens.shown_in(metadata)
        if shown:
            return None
        if self._is_near(peer):
            return None
        return NO_CREDENTIAL if shown is None else WRONG_TOKEN

    def is_local(self, peer: str) -> bool:
        """Whether a call comes from this machine."""
        if is_unix(peer):
            return True
        address = address_of(peer)
        return address is not None and (address.is_loopback or address in self.own)

    def _is_near(self, peer: str) -> bool:
        if not self.local_needs_token and self.is_local(peer):
            return True
        address = address_of(peer)
        return address is not None and is_inside(address, self.trusted)
