"""The server of model endpoints from a program's side, blocking or awaited: deployed, weighed, rolled out, taken down.

    with EndpointsClient("http://127.0.0.1:8082", token) as models:
        models.deploy("digits", variants=[{"name": "old", "bundle": "/srv/1"}, {"name": "new", "bundle": "/srv/2"}])
        begun = models.start_rollout("digits", "new", kind="linear", share=0.1, bounds={"slow_ms": 50})
        models.pause_rollout("digits", begun.rollout)

Both clients have the same methods, defined once in `Methods`; they are asked again, and raise, as those of the
recommendation service (`palate.client.recommender`). Models are asked by boto3, or by `palate.client.endpoints`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

from palate.client import asking, deployed
from palate.client.calls import Plan
from palate.client.endpoints import KEY
from palate.client.rollouts import Rollouts
from palate.client.service import AwaitedService, BlockingService, address, numbered, query_of
from palate.client.twins import method


class Methods(Rollouts[deployed.EndpointRollout]):
    """What can be asked. The two clients below are this, and say how a call is made."""

    KEY = KEY
    WHAT = "a server of model endpoints"
    _rolled, _rollout, _rollouts = "endpoints", deployed.EndpointRollout, deployed.EndpointRollouts

    @method
    def endpoints(self) -> Plan[list[deployed.Endpoint]]:
        """All there are, by name."""
        found = yield from self._ask(deployed.Endpoints, "GET", "/v1/endpoints")
        return found.endpoints

    @method
    def endpoint(self, name: str) -> Plan[deployed.Endpoint]:
        return self._ask(deployed.Endpoint, "GET", address("endpoints", name))

    @method
    def deploy(
        self, name: str, variants: Sequence[asking.NewHosted] = (), **source: Unpack[asking.ModelFields]
    ) -> Plan[deployed.Endpoint]:
        """Put one model behind a name, or several as `variants`, in place of what was there."""
        body = {**source, **({"variants": list(variants)} if variants else {})}
        return self._ask(deployed.Endpoint, "PUT", address("endpoints", name), body)

    @method
    def weigh(self, name: str, weights: Mapping[str, float]) -> Plan[deployed.Endpoint]:
        """Move the traffic between its variants; those not named keep their weights."""
        return self._ask(deployed.Endpoint, "PATCH", address("endpoints", name), {"weights": dict(weights)})

    @method
    def delete_endpoint(self, name: str) -> Plan[None]:
        return self._do("DELETE", address("endpoints", name))

    @method
    def stats(self, name: str, seconds: float | None = None) -> Plan[deployed.EndpointStats]:
        """How its variants do, over the latest `seconds` or the 30 days that are kept."""
        path = f"{address('endpoints', name)}/stats{query_of({'seconds': seconds})}"
        return self._ask(deployed.EndpointStats, "GET", path)

    @method
    def start_transform(
        self, name: str, input: str, output: str, **more: Unpack[asking.TransformFields]
    ) -> Plan[deployed.Transform]:
        """Have a file below the server's transform folder put through a model, by a job."""
        path = f"{address('endpoints', name)}/transforms"
        body = {"input": input, "output": output, **more}
        return self._ask(deployed.Transform, "POST", path, body, repeatable=False)

    @method
    def transform(self, job: int) -> Plan[deployed.Transform]:
        """How far it is."""
        return self._ask(deployed.Transform, "GET", "/v1" + numbered("transforms", job))

    @method
    def cancel_transform(self, job: int) -> Plan[deployed.Transform]:
        """Stop it; nothing is written."""
        return self._ask(deployed.Transform, "DELETE", "/v1" + numbered("transforms", job))


class EndpointsClient(Methods, BlockingService):
    """One server of model endpoints. Safe to share between threads; a context manager.

    url, key, policy, connections: as `BlockingService` has them; the key of the environment is PALATE_ENDPOINT_KEY.
    """


class AsyncEndpointsClient(Methods, AwaitedService):
    """The same for an event loop; an asynchronous context manager. Needs the extra `async`."""
