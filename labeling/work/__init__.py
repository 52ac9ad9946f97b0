"""Long work of the labeling service, done by worker processes as jobs: consensus, and rounds of automatic labeling.

    palate label serve          starts one worker beside the servers
    palate label work           is a worker alone, on any machine that reaches the database

A handler takes a JobContext, says how far it is, and bears being run again: a worker may die at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine

from labeling.settings import LabelingSettings
from palate.store.jobs import Handler


def handlers(engine: Engine, settings: LabelingSettings) -> Mapping[str, Handler]:
    """Every kind of job of this service, and what does it."""
    from labeling.work import consensus, rounds

    return {
        consensus.KIND: lambda context: consensus.run(engine, context),
        rounds.KIND: rounds.Rounds(engine, settings.cache),
    }
