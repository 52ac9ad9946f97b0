"""Carrying plans of calls out without blocking, by httpx: what `Caller` is to threads."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from palate.client.calls import Answer, Failure, Plan, Policy, Request, credentials, service_url
from palate.errors import MissingDependencyError

T = TypeVar("T")


class AsyncCaller:
    """Calls one service from an event loop; calls may run side by side.

    url, key, policy, connections: as `Caller` has them, which also says what is raised. Raises MissingDependencyError
    without httpx.
    """

    def __init__(
        self, url: str, key: str | None = None, policy: Policy | None = None, *, connections: int = 100
    ) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingDependencyError(
                "the asynchronous client needs httpx.", hint="Install it: pip install 'palate[async]'."
            ) from None
        self._httpx: Any = httpx
        self.url = service_url(url)
        self.policy = policy or Policy()
        self._client = httpx.AsyncClient(
            headers=credentials(key),
            timeout=httpx.Timeout(self.policy.timeout, connect=self.policy.connecting, pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # as urllib3 has it: no proxy that is not asked for
        )

    async def run(self, plan: Plan[T]) -> T:
        """What a plan returns once it is carried out. Raises as it does."""
        try:
            step = next(plan)
            while True:
                step = plan.send(await (self._send(step) if isinstance(step, Request) else asyncio.sleep(step)))
        except StopIteration as end:
            found: T = end.value
            return found
        finally:
            plan.close()

    async def _send(self, request: Request) -> Answer | Failure:
        try:
            got = await self._client.request(
                request.method, self.url + request.path, content=request.body, headers=dict(request.headers)
            )
        except self._httpx.ConnectTimeout:
            return Failure("it could not be reached in time.", sent=False)
        except self._httpx.ConnectError:
            return Failure("it cannot be reached.", sent=False)
        except self._httpx.TimeoutException:
            return Failure(f"it gave no answer within {self.policy.timeout:g} seconds.")
        except self._httpx.TransportError as error:
            return Failure(f"the connection broke ({type(error).__name__}).")
        return Answer(got.status_code, got.headers.get("Content-Type", ""), got.content, dict(got.headers))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
