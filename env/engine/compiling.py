"""The one door to Numba: how the engine's functions are compiled, and where that is kept."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from threading import Timer
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba
from numba import types

P = ParamSpec("P")
R = TypeVar("R")

_SILENT_S: Final = 1.0
"""Compiling that takes longer says so."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """A function for compiled code to call; it is compiled with whoever calls it.

    Division by zero gives what NumPy gives; bounds are not checked. Whole numbers are 64 bits wide
    as arguments: one form of the function serves all. Python cannot call it (`entry` can).
    """
    return _inner(function)


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, but products are added without rounding where the processor can.

    For networks: the world has to be the same to the last digit everywhere.
    """
    return _inner(function, fastmath={"contract"})


def _inner(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    dispatcher = _jit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
    resolve = dispatcher.get_call_template

    def widened(args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        wide = tuple(_widen(one) for one in args)
        return resolve(wide, {name: _widen(one) for name, one in keywords.items()})

    dispatcher.get_call_template = widened
    return cast("Callable[P, R]", dispatcher)


def _widen(kind: Any) -> Any:
    kind = types.unliteral(kind)  # type: ignore[no-untyped-call]
    if isinstance(kind, types.Integer):
        return types.int64
    return types.float64 if isinstance(kind, types.Float) else kind


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function for Python to call, compiled at the first call and kept on disk.

    It lies beside the source, or where that cannot be written in the user's cache folder, or in
    ``NUMBA_CACHE_DIR``. Where none can be written it is compiled in each process anew.
    """
    dispatcher = _jit(function)
    _keep(dispatcher, Path(function.__code__.co_filename))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if dispatcher.signatures:
            return cast("R", dispatcher(*args, **kwargs))
        notice = Timer(_SILENT_S, _tell, (function.__name__,))
        notice.daemon = True
        notice.start()
        try:
            return cast("R", dispatcher(*args, **kwargs))
        finally:
            notice.cancel()

    return call


def _jit(function: Callable[..., Any], **options: Any) -> Any:
    # All memory is Python's: nothing is counted (_nrt), which would take longer to compile.
    jit: Any = numba.njit
    return jit(nogil=True, error_model="numpy", _nrt=False, **options)(function)


def _keep(dispatcher: Any, file: Path) -> None:
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # no folder can be written
        return
    # Numba looks at the file of the function alone. What it calls lies in others.
    dispatcher._cache._cache_file._source_stamp = _contents(file)


@cache
def _contents(file: Path) -> str:
    """A digest of all source that compiled code of a file may come from."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256(sys.version.encode())
    digest.update(file.read_bytes())
    for folder in ("env", "agents"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _tell(name: str) -> None:
    print(
        f"compiling the simulation engine ({name}): this happens once and takes up to a minute",
        file=sys.stderr,
        flush=True,
    )
