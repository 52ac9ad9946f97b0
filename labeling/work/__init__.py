"""Long work of the labeling service, done by worker processes as jobs: consensus, orders, rounds of automatic labeling,
what goes between here and a Label Studio, and webhooks.

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
    from labeling.hooks.collect import KIND as WEBHOOK
    from labeling.hooks.send import Sender
    from labeling.label_studio import jobs as label_studio
    from labeling.work import consensus, diversity, files, rounds

    return {
        **label_studio.handlers(engine, settings),
        consensus.KIND: lambda context: consensus.run(engine, context),
        diversity.KIND: lambda context: diversity.run(engine, context, settings.cache),
        files.IMPORT: lambda context: files.run_import(engine, context),
        files.EXPORT: lambda context: files.run_export(engine, context),
        WEBHOOK: Sender(engine, settings.webhook_hosts),
        rounds.KIND: rounds.Rounds(engine, settings.cache),
    }
