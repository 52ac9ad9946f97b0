"""One definition of a method, two clients that have it.

A method is written once, as the plan of its calls (`palate.client.calls`). Under `method` the blocking client has it as
a function that returns what the plan does, the other one as a coroutine; under `listing` a plan that gets one page
becomes an iterator over all entries of all pages, or an asynchronous one. Both keep the plan's parameters and types.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from palate.client.calls import Plan

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row", covariant=True)


class Blocking(ABC):
    """A client whose methods return what they say."""

    @abstractmethod
    def run(self, plan: Plan[T]) -> T:
        """What a plan returns once it is carried out."""


class Awaited(ABC):
    """A client whose methods are coroutines."""

    @abstractmethod
    async def run(self, plan: Plan[T]) -> T:
        """What a plan returns once it is carried out."""


class Page(Protocol[Row]):
    """One page of a long list."""

    @property
    def rows(self) -> Sequence[Row]: ...

    @property
    def next(self) -> str | None:
        """The cursor of the next page; None on the last one."""
        ...


class method(Generic[P, T]):
    """Makes a method of both clients out of a plan."""

    def __init__(self, plan: Callable[Concatenate[Any, P], Plan[T]]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: None, owner: type) -> method[P, T]: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Blocking | Awaited | None, owner: type) -> Any:
        if client is None:
            return self

        @functools.wraps(self.plan)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run(self.plan(client, *args, **kwargs))

        return call


class listing(Generic[P, Row]):
    """Makes an iterator of both clients out of a plan that gets the page after a cursor, its first argument."""

    def __init__(self, plan: Callable[Concatenate[Any, str | None, P], Plan[Page[Row]]]) -> None:
        self.plan = plan
        functools.update_wrapper(self, plan)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: None, owner: type) -> listing[P, Row]: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, Iterator[Row]]: ...
    @overload
    def __get__(self, client: Awaited, owner: type) -> Callable[P, AsyncIterator[Row]]: ...
    def __get__(self, client: Blocking | Awaited | None, owner: type) -> Any:
        if client is None:
            return self
        plan = self.plan

        def rows(client: Blocking, *args: P.args, **kwargs: P.kwargs) -> Iterator[Row]:
            cursor, more = None, True
            while more:
                page = client.run(plan(client, cursor, *args, **kwargs))
                yield from page.rows
                cursor, more = page.next, page.next is not None

        async def rows_later(client: Awaited, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Row]:
            cursor, more = None, True
            while more:
                page = await client.run(plan(client, cursor, *args, **kwargs))
                for row in page.rows:
                    yield row
                cursor, more = page.next, page.next is not None

        if isinstance(client, Blocking):
            return functools.wraps(plan)(functools.partial(rows, client))
        return functools.wraps(plan)(functools.partial(rows_later, client))
