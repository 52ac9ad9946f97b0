"""Deployments from the caller's side: several models behind one name, their weights, and how they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from palate.client import asking, deployed
from palate.client.calls import Plan
from palate.client.rollouts import Rollouts
from palate.client.service import address, query_of
from palate.client.twins import method


class Deployments(Rollouts[deployed.Rollout]):
    """The methods of deployments and their roll-outs, for a client to have."""

    _rolled, _rollout, _rollouts = "deployments", deployed.Rollout, deployed.Rollouts

    @method
    def deployments(self) -> Plan[list[deployed.Deployment]]:
        found = yield from self._ask(deployed.Deployments, "GET", "/v1/deployments")
        return found.deployments

    @method
    def deployment(self, name: str) -> Plan[deployed.Deployment]:
        return self._ask(deployed.Deployment, "GET", address("deployments", name))

    @method
    def put_deployment(
        self, name: str, variants: Sequence[asking.NewVariant], **more: Unpack[asking.DeploymentFields]
    ) -> Plan[deployed.Deployment]:
        """Make a deployment, or replace it."""
        return self._ask(deployed.Deployment, "PUT", address("deployments", name), {"variants": list(variants), **more})

    @method
    def patch_deployment(
        self, name: str, weights: Mapping[str, float] | None = None, **more: Unpack[asking.DeploymentFields]
    ) -> Plan[deployed.Deployment]:
        """Change the weights of some variants, or its rules, filters or clicks."""
        body = {**({} if weights is None else {"weights": dict(weights)}), **more}
        return self._ask(deployed.Deployment, "PATCH", address("deployments", name), body)

    @method
    def delete_deployment(self, name: str) -> Plan[None]:
        return self._do("DELETE", address("deployments", name))

    @method
    def deployment_stats(self, name: str, seconds: float | None = None) -> Plan[deployed.Stats]:
        """How its variants do, over the latest `seconds` or the 30 days that are kept."""
        return self._ask(deployed.Stats, "GET", f"{address('deployments', name)}/stats{query_of({'seconds': seconds})}")

    @method
    def deployment_changes(self, name: str) -> Plan[list[deployed.Change]]:
        """Who changed what, the latest first."""
        found = yield from self._ask(deployed.Changes, "GET", f"{address('deployments', name)}/changes")
        return found.changes
