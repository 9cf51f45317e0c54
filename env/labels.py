"""Short words for people: times, flavors, preferences, actions."""

from __future__ import annotations

from collections.abc import Sequence

from env.actions import Action, ActionKind


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def flavor_letters(names: Sequence[str]) -> list[str]:
    """One letter for each flavor: of its last word the first that no other has taken."""
    letters: list[str] = []
    for name in names:
        wanted = name.rpartition(".")[2].lower() + "abcdefghijklmnopqrstuvwxyz"
        free = (letter for letter in wanted if letter.isalpha() and letter not in letters)
        letters.append(next(free, "?"))
    return letters


def describe_preference(preference: float) -> str:
    """The preference with a word for it: ``w = 0.90 (fast)``."""
    word = "lean" if preference < 0.4 else "fast" if preference > 0.6 else "balanced"
    return f"w = {preference:.2f} ({word})"


def action_words(action: Action, flavors: Sequence[str]) -> str:
    """An action as ``keep``, ``spawn FLAVOR`` or ``kill FLAVOR``; flavors by their names."""
    if action.kind is ActionKind.KEEP:
        return "keep"
    known = 0 <= action.flavor < len(flavors)
    return f"{action.kind.name.lower()} {flavors[action.flavor] if known else action.flavor}"
