"""`palate recommend`: ask a running recommendation service, or a bundle, from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from palate.bundle import current_bundle, load_bundle
from palate.client.answers import Place, Recommended, Why
from palate.client.calls import Policy
from palate.client.recommender import RecommenderClient
from palate.errors import CapabilityError, ParameterError, UnknownIdError
from palate.models.protocol import Recommender
from palate.settings import Settings

_PATIENCE = Policy(retries=2, timeout=30)
"""Whoever sits at a shell does not wait minutes for a server that is away."""


@click.command(no_args_is_help=True)
@click.argument("user", required=False)
@click.option("--item", metavar="ITEM", help="Items like this one; with USER: the item on the page.")
@click.option("-k", "--k", type=click.IntRange(1, 200), default=10, show_default=True, help="How many items.")
@click.option("--why", is_flag=True, help="Because of which items, categories and tags.")
@click.option("--filter", "filter_", metavar="FILTER", help="Only items that match, such as 'price < 20'.")
@click.option("--deployment", metavar="NAME", help="Which deployment answers.")
@click.option("--url", metavar="URL", help="The service; that of the settings (PALATE_API_URL) unless told.")
@click.option("--key", metavar="TOKEN", help="An API key with the scope recommend; better in PALATE_API_KEY.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Ask this bundle, without any service.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, for other programs.")
def recommend(
    user: str | None,
    item: str | None,
    k: int,
    why: bool,
    filter_: str | None,
    deployment: str | None,
    url: str | None,
    key: str | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """Recommend items to USER, or items like an ITEM.

    \b
    palate recommend user-14 --why
    palate recommend --item item-001 --k 5
    palate recommend user-14 --bundle models/blend-1
    """
    if user is None and item is None:
        raise click.UsageError("Give a USER, an --item, or both.")
    asked = {name: value for name, value in (("filter", filter_), ("deployment", deployment)) if value is not None}
    if bundle is not None:
        if told := [*asked, *(["url"] if url else [])]:
            raise ParameterError("a bundle alone knows nothing of it.", where=f"--{told[0]}", hint="Ask a service.")
        answer = _from_bundle(bundle, user, item, k)
    else:
        with RecommenderClient(url or Settings.read().api_url, key, policy=_PATIENCE) as client:
            if user is not None:
                more = {} if item is None else {"item": item}
                answer = client.recommend(user, limit=k, explain=why, **more, **asked)  # type: ignore[arg-type]
            else:
                answer = client.similar(str(item), limit=k, **asked)  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps(answer.model_dump(exclude_none=True), ensure_ascii=False, indent=2))
    else:
        _print(answer, why)


def _from_bundle(path: Path, user: str | None, item: str | None, k: int) -> Recommended:
    """What the model alone says: without the live catalogue, events, rules and titles."""
    folder = path if (path / "manifest.json").is_file() else current_bundle(path)
    model = load_bundle(folder)
    if not isinstance(model, Recommender):
        raise CapabilityError(f"the {getattr(model, 'kind', 'artifact')} in it does not rank items.", where=str(path))
    if user is not None and item is not None:
        raise ParameterError("with a bundle, ask for a user or for an item.", where="--item")
    if user is not None:
        found = model.recommend([user], k)
        personal = bool(found.personal[0])
        strategy, because = ("personal", "history") if personal else ("popular", "popular")
    else:
        found = model.similar_items([str(item)], k)
        strategy, because = "similar", "similar item"
        if not found.personal[0]:
            raise UnknownIdError(f"the model knows nothing of {str(item)[:80]!r} but its id.", where="--item")
    places = [
        Place(item=name, title=None, categories=[], score=round(score, 6), strategy=strategy, why=Why(because=because))
        for name, score in found.row(0)
    ]
    return Recommended(
        items=places, strategies=[strategy] if places else [], model_version=folder.name, recommendation_id=""
    )


def _print(answer: Recommended, why: bool) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    titled = any(place.title for place in answer.items)
    table.add_column("#", justify="right")
    table.add_column("item")
    if titled:
        table.add_column("title", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("strategy")
    if why:
        table.add_column("because of", overflow="fold")
    for number, place in enumerate(answer.items, 1):
        cells = [str(number), str(place.item), *([place.title or ""] if titled else [])]
        cells += ["" if place.score is None else f"{place.score:.4f}", place.strategy]
        table.add_row(*cells, *([_because(place.why)] if why else []))
    # Ids and titles are what they are: nothing in them is markup. And a pipe has no width to wrap at.
    width = None if Console().is_terminal else 10_000
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    if answer.items:
        console.print(table)
    else:
        console.print("There is nothing to recommend.")
    by = f" by the variant {answer.variant} of {answer.deployment}" if answer.deployment else ""
    click.echo(f"{answer.model_version}{by}", err=True)


def _because(why: Why) -> str:
    named = [*map(str, why.items or ()), *(why.categories or ()), *(why.tags or ())]
    if why.segment is not None:
        named.append(f"segment {why.segment}")
    return f"{why.because}: {', '.join(named)}" if named else why.because
