"""Roll-outs from the caller's side, the same of deployments and of endpoints."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar, Unpack

from palate.client import asking, deployed
from palate.client.calls import Plan
from palate.client.service import Service, address, numbered
from palate.client.twins import method

R = TypeVar("R", bound=deployed.AnyRollout)


class Rollouts(Service, Generic[R]):
    """The methods of roll-outs, for a client to have. _rolled: what they are of, as addresses say it."""

    _rolled: ClassVar[str]
    _rollout: type[R]
    _rollouts: type[deployed.RolloutsOf[R]]

    @method
    def rollouts(self, name: str) -> Plan[list[R]]:
        """The latest 20, the newest first."""
        found = yield from self._ask(self._rollouts, "GET", f"{address(self._rolled, name)}/rollouts")
        return found.rollouts

    @method
    def rollout(self, name: str, rollout: int) -> Plan[R]:
        """Where it stands, and how much evidence there is against each bound."""
        return self._ask(self._rollout, "GET", self._place(name, rollout))

    @method
    def start_rollout(self, name: str, variant: str, **more: Unpack[asking.RolloutFields]) -> Plan[R]:
        """Begin to move the traffic to a variant."""
        path = f"{address(self._rolled, name)}/rollouts"
        return self._ask(self._rollout, "POST", path, {"variant": variant, **more}, repeatable=False)

    @method
    def pause_rollout(self, name: str, rollout: int) -> Plan[R]:
        """Keep it at its step; it is watched still."""
        return self._ask(self._rollout, "PATCH", self._place(name, rollout), {"state": "paused"})

    @method
    def resume_rollout(self, name: str, rollout: int) -> Plan[R]:
        """Let a paused one go on."""
        return self._ask(self._rollout, "PATCH", self._place(name, rollout), {"state": "running"})

    @method
    def stop_rollout(self, name: str, rollout: int) -> Plan[R]:
        """Stop it, or undo one that is done: the weights are those before it again."""
        return self._ask(self._rollout, "DELETE", self._place(name, rollout))

    def _place(self, name: str, rollout: int) -> str:
        return address(self._rolled, name) + numbered("rollouts", rollout)
