"""Who a worker is: the id that everyone may know, and the one that proves it.

Inside the controller, and in all that leaves the machine (lists, event log, metrics, names and
labels in a cloud), a worker has its *public* id. At its spawn it is given another one, its *secret*
id: a random UUID that only the worker and the controller know, and that the worker presents with
each call as its id. So nobody who has read a public id can speak for its worker.

The store keeps a hash of the secret, by which the next life of the controller knows the worker
again. Workers that were spawned before there were secrets keep their public id until they end.
"""

from __future__ import annotations

import hashlib
import uuid


def hash_of(secret: str) -> str:
    """What may be stored of a secret id (122 random bits: there is nothing to guess or to salt)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def alias_of(presented: str) -> str:
    """A presented id that is no worker's, for a log: it may be a secret that was mistyped."""
    return f"unknown-{hash_of(presented)[:12]}"


class Identities:
    """The workers that may speak, by the hash of what they present."""

    def __init__(self) -> None:
        self._public: dict[str, str] = {}
        self._hash: dict[str, str] = {}
        self._untold: dict[str, str] = {}

    def issue(self, worker_id: str) -> str:
        """Make the secret id of a worker that is to be spawned; return its hash for the store."""
        secret = str(uuid.uuid4())
        self._untold[worker_id] = secret
        return self._know(worker_id, hash_of(secret))

    def hand_over(self, worker_id: str) -> str:
        """The secret id, for the order to spawn; it is not kept here any longer.

        A worker that has ended meanwhile gets one that nobody will be known by.
        """
        return self._untold.pop(worker_id, None) or str(uuid.uuid4())

    def restore(self, worker_id: str, secret_hash: str | None) -> None:
        """Know a worker of an earlier life; without a hash its public id is its proof."""
        self._know(worker_id, secret_hash or hash_of(worker_id))

    def public_id(self, presented: str) -> str | None:
        """Whose secret id this is, none if it is nobody's."""
        return self._public.get(hash_of(presented))

    def end(self, worker_id: str) -> None:
        """Nothing is left of the worker: whoever presents its secret is a stranger."""
        self._untold.pop(worker_id, None)
        known = self._hash.pop(worker_id, None)
        if known is not None:
            del self._public[known]

    def _know(self, worker_id: str, secret_hash: str) -> str:
        self._public[secret_hash] = worker_id
        self._hash[worker_id] = secret_hash
        return secret_hash
