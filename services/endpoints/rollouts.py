"""The routes of an endpoint's roll-outs, and how its variants do."""

from __future__ import annotations

from palate.web import gives, takes
from services.endpoints.bodies import RolloutOut, Rollouts, StatsOut
from services.endpoints.invoking import hosting
from services.variants.bodies import StatsPage, VariantStats
from services.variants.views import RolloutViews

ROLLOUTS = RolloutViews(
    store=lambda: hosting().store,
    changed=lambda: hosting().look(),
    scope="endpoints",
    told=lambda name, rollout: {"endpoint": name},
    out=RolloutOut,
    listed=Rollouts,
)


@takes(query=StatsPage)
@gives(StatsOut)
def get_stats(name: str, query: StatsPage) -> StatsOut:
    """Say how the variants do: requests, errors and latency.

    Counted by all workers, up to a second ago, and kept for 30 days. Rows that a model refuses are not its errors.
    """
    found = hosting().store.figures(name, query.seconds)
    return StatsOut(endpoint=name, variants=[VariantStats.of(*each) for each in found])
