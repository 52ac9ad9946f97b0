"""Memory and start of a recommendation service: how much each worker adds, and how long until it answers.

`python -m benchmarks.serving_memory` serves 1,000,000 items with an index; `--items 20000 --users 10000000 --no-index`
10 million users. Memory is what the system says of each process (PSS: pages that several processes have mapped count
by their share), after every kind of request was answered a few hundred times.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from benchmarks.load import ITEM, USER, Server, model, serving
from palate.bundle import publish_bundle, set_current
from palate.dataset.ids import IdMap
from palate.models.als import ALS

_LEARNED = 100_000
"""Users whose factors are drawn; further ones have theirs again, with a little noise."""
_SEEN = 5
_ROWS = 250_000
_LINES = {"Pss": "pss", "Private_Dirty": "private", "Pss_File": "mapped"}


def ids(pattern: str, count: int) -> IdMap:
    """So many ids of `benchmarks.load`, made without an object for each."""
    name, width = pattern.split("{")[0], int(pattern[-3])
    numbers = pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.large_string()), width, "0")
    return IdMap(
        pc.binary_join_element_wise(pa.scalar(name, pa.large_string()), numbers, pa.scalar("", pa.large_string()))
    )


def large(users: int, items: int) -> ALS:
    """`benchmarks.load.model` with as many users as wanted, the further ones like those before."""
    made = model(min(users, _LEARNED), items, seen=min(_SEEN, items) if users > _LEARNED else 50)
    if users <= _LEARNED:
        return made
    drawn, factors = np.random.default_rng(1), made.user_factors
    grown = np.empty((users, factors.shape[1]), np.float32)
    for start in range(0, users, _ROWS):
        rows = np.arange(start, min(start + _ROWS, users))
        noise = drawn.standard_normal((len(rows), factors.shape[1]), dtype=np.float32)
        grown[rows] = factors[rows % _LEARNED] + np.float32(0.05) * noise
    made.user_factors, made.users = grown, ids(USER, users)
    copies, rest = divmod(users, _LEARNED)
    parts = [made.seen] * copies + [made.seen[:rest]]
    made.seen = sparse.vstack(parts, "csr", dtype=np.float32)
    return made


def memory(server: Server) -> list[dict[str, float]]:
    """Of each process, in MB: `pss`, and what of it is memory of its own (`private`) and mapped files (`mapped`)."""
    whole = psutil.Process(server.process.pid)
    found = []
    for each in (whole, *whole.children(recursive=True)):
        told = dict.fromkeys(_LINES.values(), 0.0)
        for line in Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines():
            name, _, size = line.partition(":")
            if name in _LINES:
                told[_LINES[name]] += int(size.split()[0]) / 1024
        found.append(told)
    return found


def ask(server: Server, users: int, items: int, times: int) -> None:
    """Asks for everything that an answer is made from, so that all of it is in memory."""
    drawn = random.Random(0)
    for at in range(times):
        user, item = USER.format(drawn.randrange(users)), ITEM.format(drawn.randrange(items))
        server.call(f"/v1/users/{user}/recommendations")
        if at % 4 == 0:
            server.call("/v1/users/nobody/recommendations")
            server.call("/v1/items/popular")
            server.call(f"/v1/items/{item}/similar")
            server.call("/v1/recommendations/session", {"recent_items": [item]})


@click.command()
@click.option("--items", type=int, default=1_000_000)
@click.option("--users", type=int, default=100_000)
@click.option("--index/--no-index", default=True)
@click.option("--workers", type=int, multiple=True, default=(1, 2, 3))
@click.option("--requests", type=int, default=200, help="For each worker.")
def main(items: int, users: int, index: bool, workers: tuple[int, ...], requests: int) -> None:
    """Measure, and print a line of JSON for each number of workers."""
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folder = Path(name)
        made = large(users, items)
        if index:
            made = made.indexed()
        set_current(folder / "bundles", publish_bundle(made, folder / "bundles"))
        del made
        files = sum(file.stat().st_size for file in (folder / "bundles").rglob("*") if file.is_file()) >> 20
        for count in workers:
            started = time.monotonic()
            with serving(folder, None, 1310, count) as server:
                ready = time.monotonic() - started
                ask(server, users, items, requests * count)
                found = memory(server)
            told = {"workers": count, "ready_s": round(ready, 1), "bundle_mb": files}
            whole = {key: round(sum(each[key] for each in found)) for key in _LINES.values()}
            print(json.dumps({**told, **whole, "pss_each": [round(each["pss"]) for each in found]}), flush=True)


if __name__ == "__main__":
    main()
