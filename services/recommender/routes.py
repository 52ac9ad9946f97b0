"""The routes under /v1, and the views of lists: each takes what its contract says and answers JSON."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from palate.web import gives, require_all, takes
from services.recommender import about, editing, features, service
from services.recommender.addresses import checked, install
from services.recommender.answers import (
    Answers,
    ModelOut,
    RankedOut,
    Recommended,
)
from services.recommender.asking import (
    BatchBody,
    ItemsPage,
    NextPage,
    RankBody,
    RecommendBody,
    SegmentPage,
    SessionBody,
    UserPage,
)
from services.recommender.batches import recommend_to_many
from services.recommender.deployments import views
from services.recommender.pages import following
from services.recommender.shares import shares_of_app
from services.recommender.state import as_json, count, state
from services.recommender.wanted import wanted


def blueprint() -> Blueprint:
    """A new blueprint with all routes; the scopes are recommend, catalogue, events and deployments."""
    v1 = Blueprint("v1", __name__, url_prefix="/v1")
    v1.record_once(install)
    require_all(v1, "recommend")
    v1.get("/users/<id:user>/recommendations")(for_user)
    v1.post("/recommendations")(for_anybody)
    v1.post("/recommendations/session")(for_session)
    v1.post("/recommendations/batch")(for_many)
    v1.get("/recommendations/<id:recommendation_id>")(next_page)
    v1.post("/rank")(rank)
    v1.get("/users/<id:user>/features")(features.of_user)
    v1.get("/items/<id:item>/features")(features.of_item)
    v1.post("/features")(features.of_many)
    v1.get("/items/popular")(popular)
    v1.get("/items/trending")(trending)
    v1.get("/items/latest")(latest)
    v1.get("/items/wanted")(wanted)
    v1.get("/items/<id:item>/similar")(similar)
    v1.get("/items")(editing.list_items)
    v1.get("/items/<id:item>")(editing.get_item)
    v1.put("/items/<id:item>")(editing.put_item)
    v1.patch("/items/<id:item>")(editing.patch_item)
    v1.delete("/items/<id:item>")(editing.delete_item)
    v1.get("/users")(editing.list_users)
    v1.get("/users/<id:user>")(editing.get_user)
    v1.put("/users/<id:user>")(editing.put_user)
    v1.patch("/users/<id:user>")(editing.patch_user)
    v1.delete("/users/<id:user>")(editing.delete_user)
    v1.post("/imports")(editing.post_import)
    v1.get("/imports/<int:job>")(editing.get_import)
    v1.delete("/imports/<int:job>")(editing.cancel_import)
    v1.get("/events")(editing.list_events)
    v1.get("/events/export")(editing.export_events)
    v1.post("/events")(editing.post_events)
    v1.get("/rules")(editing.get_rules)
    v1.put("/rules")(editing.put_rules)
    v1.get("/model")(get_model)
    v1.get("/deployments")(views.list_deployments)
    v1.get("/deployments/<name>")(views.get_deployment)
    v1.put("/deployments/<name>")(views.put_deployment)
    v1.patch("/deployments/<name>")(views.patch_deployment)
    v1.delete("/deployments/<name>")(views.delete_deployment)
    v1.get("/deployments/<name>/stats")(views.get_stats)
    v1.get("/deployments/<name>/changes")(views.list_changes)
    views.ROLLOUTS.add_to(v1, "/deployments/<name>/rollouts")
    return v1


@takes(query=UserPage)
@gives(Recommended)
def for_user(user: str, query: UserPage) -> Response:
    """Recommend items to a user.

    Known users get their personal ranking, with what they did since the training folded in; unknown ones what their
    stored attributes suggest, or what is popular. Each item says its strategy.
    """
    return _led(service.recommend(state()[0], query, checked(user, "user")))


@takes(body=RecommendBody)
@gives(Recommended)
def for_anybody(body: RecommendBody) -> Response:
    """Recommend items to a visitor.

    From a user's id, recent items, the item on the page, stated categories and tags: whatever is known.
    """
    return _led(service.recommend(state()[0], body, body.user))


@takes(body=SessionBody)
@gives(Recommended)
def for_session(body: SessionBody) -> Response:
    """Recommend items to a visitor without an account, from the items of their session, newest first."""
    return _led(service.recommend(state()[0], body, None))


@takes(body=BatchBody)
@gives(Answers)
def for_many(body: BatchBody) -> Response:
    """Recommend items to many users at once. Each is answered as if asked alone, only faster."""
    answer = recommend_to_many(state()[0], body)
    count(place for one in answer["answers"] for place in one["items"])
    for one in answer["answers"]:
        shares_of_app().add(one["strategies"])
    return as_json(answer)


@takes(query=NextPage)
@gives(Recommended)
def next_page(recommendation_id: str, query: NextPage) -> Response:
    """Show the next page of a list that was asked for with `paging`, as it was then; `next` leads here."""
    live, _ = state()
    name = checked(recommendation_id, "recommendation_id")
    return _counted(following(live.store, about.serving(live), name, query.after, query.limit))


@takes(body=RankBody)
@gives(RankedOut)
def rank(body: RankBody) -> Response:
    """Put given items into order for a user or a visitor."""
    return _counted(service.rank(state()[0], body))


@takes(query=ItemsPage)
@gives(Recommended)
def trending(query: ItemsPage) -> Response:
    """List items that are trending: done something with more often lately than usual."""
    return _counted(service.trending(state()[0], query))


@takes(query=SegmentPage)
@gives(Recommended)
def popular(query: SegmentPage) -> Response:
    """List popular items, over all or within a segment of users."""
    return _counted(service.popular(state()[0], query))


@takes(query=ItemsPage)
@gives(Recommended)
def latest(query: ItemsPage) -> Response:
    """List the newest items. The score is when each appeared, in seconds since 1970 UTC."""
    return _counted(service.latest(state()[0], query))


@takes(query=ItemsPage)
@gives(Recommended)
def similar(item: str, query: ItemsPage) -> Response:
    """List items like one, by what users did with it, or by its content if it is new."""
    return _counted(service.similar(state()[0], checked(item, "item"), query))


@gives(ModelOut)
def get_model() -> Response:
    """Say which model is served, how good it was, and whether a newer one could not be loaded."""
    return as_json(about.model(state()[0]))


def _counted(answer: dict[str, Any]) -> Response:
    count(answer["items"])
    return as_json(answer)


def _led(answer: dict[str, Any]) -> Response:
    """A list for somebody, not for everybody: it tells how many are strangers."""
    shares_of_app().add(answer["strategies"])
    return _counted(answer)
