"""Recommendations for many users in one call: those whom the model knows are ranked together."""

from __future__ import annotations

from collections.abc import Sequence

from services.recommender.asking import BatchBody
from services.recommender.deployments.traffic import Asked
from services.recommender.live import Live
from services.recommender.rules import applied
from services.recommender.service import Json, Work, answered, finished, prepared, routed
from services.recommender.strategies import PERSONAL, Place


def recommend_to_many(live: Live, said: BatchBody) -> Json:
    """An answer per user, in the order asked, each as if it had been asked for alone."""
    groups: dict[str, tuple[Asked, list[int]]] = {}
    for at, user in enumerate(said.users):
        asked = routed(live, said, user)
        groups.setdefault(asked.token, (asked, []))[1].append(at)
    answers: dict[int, Json] = {}
    for asked, places in groups.values():
        users = [said.users[at] for at in places]

        def make(asked: Asked, users: list[str] = users) -> list[Json]:
            return _answers(live, said, asked, users)

        answers |= zip(places, answered(live, said, None, make, route=asked, lists=len(users)), strict=True)
    listed = [answers[at] for at in range(len(said.users))]
    return {"answers": listed, "model_version": listed[0]["model_version"]}


def _answers(live: Live, said: BatchBody, asked: Asked, users: Sequence[str]) -> list[Json]:
    shared = applied(asked.served.catalogue, said, asked.standing)
    works = [prepared(live, asked, said, user, shared.copy()) for user in users]
    together = [work for work in works if work.rules.plain and PERSONAL.answers(work.served, work.question)]
    ranked = dict(zip(map(id, together), _ranked(together, said.limit), strict=True))
    return [{"user": work.question.user, **finished(work, 0, said.limit, ranked.get(id(work)))} for work in works]


def _ranked(works: Sequence[Work], n: int) -> list[list[Place] | None]:
    """The personal rankings; None where the model fills fewer than `n` places, and other strategies have a say."""
    if not works:
        return []
    served = works[0].served
    users = [str(work.question.user) for work in works]
    contexts = [work.question.context for work in works]
    found = served.personal.best_of(users, n, [work.rules.barred for work in works], contexts)
    return [
        [(code, score, PERSONAL) for code, score in zip(ranked[0].tolist(), ranked[1].tolist(), strict=True)]
        if ranked is not None and len(ranked[0]) >= n
        else None
        for ranked in found
    ]
