"""Recommendations for many users in one call: those whom the model knows are ranked together."""

from __future__ import annotations

from collections.abc import Sequence

from services.recommender.about import serving
from services.recommender.asking import BatchBody
from services.recommender.live import Live
from services.recommender.rules import applied
from services.recommender.service import Json, Work, finished, prepared
from services.recommender.strategies import PERSONAL, Place


def recommend_to_many(live: Live, asked: BatchBody) -> Json:
    """An answer per user, in the order asked, each as if it had been asked for alone."""
    served = serving(live)
    shared = applied(served.catalogue, asked, live.rules)
    works = [prepared(live, served, asked, user, shared.copy()) for user in asked.users]
    together = [work for work in works if work.rules.plain and PERSONAL.answers(served, work.question)]
    ranked = dict(zip(map(id, together), _ranked(together, asked.limit), strict=True))
    answers = [{"user": work.question.user, **finished(work, 0, asked.limit, ranked.get(id(work)))} for work in works]
    return {"answers": answers, "model_version": served.version}


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
