"""Whether a secret could be guessed: what a person types is told from what a machine has drawn."""

from __future__ import annotations

from itertools import pairwise

LEAST_LENGTH = 32
_LEAST_SIGNS = 10
_MOST_IN_A_ROW = 0.5
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "replace", "example", "your-secret", "password", "secret-key")


def weakness(secret: str) -> str | None:
    """Why `secret` is no secret ("is shorter than 32 characters"), or None for one that looks drawn by chance."""
    if len(secret) < LEAST_LENGTH:
        return f"is shorter than {LEAST_LENGTH} characters"
    if len(set(secret)) < _LEAST_SIGNS:
        return f"has fewer than {_LEAST_SIGNS} different characters"
    if secret in (secret + secret)[1:-1] or secret[: len(secret) // 2] * 2 == secret[: len(secret) // 2 * 2]:
        return "repeats itself"
    steps = [ord(b) - ord(a) for a, b in pairwise(secret)]
    if sum(abs(step) <= 1 for step in steps) > _MOST_IN_A_ROW * len(steps):
        return "runs through the alphabet or the digits"
    if any(word in secret.lower() for word in _PLACEHOLDERS):
        return "is a placeholder that somebody forgot to replace"
    return None
