"""Which of many things have gone too long without a sign, all with the same patience."""

from __future__ import annotations

from collections import OrderedDict


class Deadlines:
    """Names with the time of their latest sign; O(1) for each sign and each expiry.

    Args:
        patience_s: a name whose latest sign is longer ago has expired, seconds.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._signs: OrderedDict[str, float] = OrderedDict()  # the oldest sign first

    def sign(self, name: str, now: float) -> None:
        """A name gives a sign; one that is new is watched from now on."""
        self._signs[name] = now
        self._signs.move_to_end(name)

    def renew(self, name: str, now: float) -> None:
        """As `sign`, but only if the name is watched."""
        if name in self._signs:
            self.sign(name, now)

    def renew_all(self, now: float) -> None:
        """We have been deaf ourselves: nobody can be blamed for silence."""
        for name in self._signs:
            self._signs[name] = now

    def drop(self, name: str) -> None:
        """Watch a name no longer."""
        self._signs.pop(name, None)

    def expired(self, now: float) -> list[str]:
        """The names that have expired; they are watched no longer."""
        late = []
        while self._signs:
            name, sign = next(iter(self._signs.items()))
            if now - sign <= self.patience_s:
                break
            del self._signs[name]
            late.append(name)
        return late

    def __len__(self) -> int:
        return len(self._signs)
