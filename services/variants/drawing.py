"""Which variant answers a request: by weight, and always the same for a user."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Sequence


def draw(name: str, user: str | None, weights: Sequence[tuple[str, float]]) -> int:
    """Which of the (variant, weight), of which one is above 0: by chance for nobody, always the same for a user.

    name: what the variants are of. Weighted rendezvous hashing: raising one weight moves users to that variant only,
    and none between the others (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
    """
    if user is None:
        point = secrets.randbelow(1 << 53) / (1 << 53) * sum(weight for _, weight in weights)
        for at, (_, weight) in enumerate(weights):
            point -= weight
            if point < 0:
                return at
        return max(range(len(weights)), key=lambda at: weights[at][1])
    chosen, least = 0, math.inf
    for at, (variant, weight) in enumerate(weights):
        if weight > 0:
            text = f"{name}\n{variant}\n{user}".encode("utf-8", "surrogatepass")
            drawn = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
            distance = -math.log((drawn + 1) / (2**64 + 1)) / weight
            if distance < least:
                chosen, least = at, distance
    return chosen
