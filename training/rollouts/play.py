"""Play cells to their end: on the compiled engine what can be, the rest on the reference.

Both play the same world (docs/engine.md): which of them it was shows in the time alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

from agents.by_preference import ByPreference
from agents.network_policy import NetworkPolicy
from agents.policy import Policy
from env.errors import UnknownNameError
from training.rollouts.cells import Cell, Played, Totals

if TYPE_CHECKING:
    from argparse import ArgumentParser, _ArgumentGroup

    from training.rollouts.arena import Arena

COMPILED: Final = "compiled"
REFERENCE: Final = "reference"
ENGINES: Final = (COMPILED, REFERENCE)

T = TypeVar("T")


class Stage:
    """Where cells are played; what was laid out for the engine is kept for the next ones.

    Args:
        engine: ``compiled``, or ``reference`` to have the simulator play everything.
        threads: that share what the engine plays; the figures do not depend on it.

    Raises:
        UnknownNameError: there is no such engine.
    """

    def __init__(self, engine: str = COMPILED, threads: int = 1) -> None:
        if engine not in ENGINES:
            raise UnknownNameError("engine", engine, ENGINES)
        self.engine = engine
        self._threads = threads
        self._arena: Arena | None = None

    def compiles(self, policy: Policy) -> bool:
        """Whether the engine plays the policy here."""
        if self.engine == REFERENCE or not has_numba():
            return False
        if isinstance(policy, NetworkPolicy):
            return True
        from agents.compiled.rules import has_form  # Numba takes long to import

        rules = policy.rules if isinstance(policy, ByPreference) else (policy,)
        return all(has_form(rule) for rule in rules)

    def play(
        self, cells: Sequence[Cell], on_cell: Callable[[], None] = lambda: None
    ) -> list[Played]:
        """All figures of each cell, in their order.

        Args:
            cells: what to play.
            on_cell: called after each, from any thread, never twice at once.

        Raises:
            DaCircoError: a policy cannot serve its data centre.
        """
        return self._run(
            cells,
            lambda arena, some: arena.play(some, self._threads, on_cell),
            lambda cell: Played.of(cell.simulate()),
            on_cell,
        )

    def totals(
        self, cells: Sequence[Cell], on_cell: Callable[[], None] = lambda: None
    ) -> list[Totals]:
        """The totals of each cell; as `play`, but faster."""
        return self._run(
            cells,
            lambda arena, some: arena.totals(some, self._threads, on_cell),
            lambda cell: Totals.of(len(cell.requests), cell.simulate().cluster),
            on_cell,
        )

    def _run(
        self,
        cells: Sequence[Cell],
        compiled: Callable[[Arena, Sequence[Cell]], list[T]],
        simulated: Callable[[Cell], T],
        on_cell: Callable[[], None],
    ) -> list[T]:
        there = {id(policy): self.compiles(policy) for policy in {c.policy for c in cells}}
        found: dict[int, T] = {}
        ours = [i for i, cell in enumerate(cells) if there[id(cell.policy)]]
        if ours:
            results = compiled(self._open(), [cells[i] for i in ours])
            found.update(zip(ours, results, strict=True))
        for i, cell in enumerate(cells):
            if i not in found:
                found[i] = simulated(cell)
                on_cell()
        return [found[i] for i in range(len(cells))]

    def _open(self) -> Arena:
        if self._arena is None:
            from training.rollouts.arena import Arena

            self._arena = Arena()
        return self._arena


def has_numba() -> bool:
    """Whether the engine can be used at all."""
    return find_spec("numba") is not None


def add_engine_option(parser: ArgumentParser | _ArgumentGroup) -> None:
    """The option ``--engine`` of a command, or of a group of its options."""
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=COMPILED,
        help="who plays the runs: the compiled engine, or the reference simulator, which takes "
        "longer; the figures are the same (default: %(default)s)",
    )


def left_out(stage: Stage, policies: Iterable[Policy]) -> str | None:
    """One line on what the reference has to play although the engine is wanted; none for nothing.

    Args:
        stage: where it is played.
        policies: of the runs.
    """
    if stage.engine == REFERENCE:
        return None
    if not has_numba():
        return (
            "Numba is not installed: the reference simulator plays everything "
            "(pip install 'dacirco[engine]' is faster)"
        )
    names = list(dict.fromkeys(p.name for p in policies if not stage.compiles(p)))
    return f"played by the reference simulator: {', '.join(names)}" if names else None
