"""Text from a server, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a question mark for each character that could steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
