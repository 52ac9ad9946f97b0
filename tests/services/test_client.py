"""The clients and `palate recommend` against a service that listens, and that loses answers when told to."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import services.endpoints.bodies as hosted
import services.endpoints.transforms as transforms
import services.recommender.answers as told
import services.recommender.deployments.bodies as deployed
import services.recommender.features as features
import services.recommender.wanted as wanted
import services.variants.bodies as variants
from palate.cli import main
from palate.client import answers
from palate.client import deployed as behind_names
from palate.client.recommender import AsyncRecommenderClient, Methods, RecommenderClient
from palate.client.twins import listing, method
from palate.errors import ParameterError, RemoteError
from palate.features.events import EventFeatures
from tests.services.listening import QUICK, House, as_blocking


@pytest.fixture(scope="module")
def house(shared_api):
    with House(shared_api) as made:
        yield made


@pytest.fixture(params=[RecommenderClient, as_blocking(AsyncRecommenderClient)], ids=["blocking", "awaited"])
def client(request, house):
    with request.param(house.url, house.api.token, policy=QUICK) as made:
        yield made


def test_lists(client):
    answer = client.recommend("a0", limit=3, filter='category = "Comedy"', explain=True)
    assert [place.strategy for place in answer.items] == ["personal"] * 3
    assert all(place.categories == ["Comedy"] and place.why.items for place in answer.items)
    assert client.recommend(limit=2).strategies == ["popular"]
    session = client.session(["western-1"], limit=2, boost=[{"filter": 'category = "Western"', "factor": 5}])
    assert session.strategies == ["fold-in"]
    many = client.batch(["a0", "nobody"], limit=1)
    assert [(each.user, each.strategies) for each in many.answers] == [("a0", ["personal"]), ("nobody", ["popular"])]
    ranked = client.rank(["western-1", "comedy-1", "none such"], "a0")
    assert [place.item for place in ranked.items] == ["comedy-1", "western-1"]
    assert ranked.left_out == ["none such"]
    assert client.similar("comedy-1", limit=1, exclude=["comedy-2", "comedy-3"]).items[0].categories == ["Comedy"]
    assert client.popular(limit=2).strategies == ["popular"]
    assert client.latest(limit=1).items[0].score == 2_000_023
    assert client.trending(limit=1).model_version
    assert client.model().items == 24


def test_next_pages(client):
    first = client.recommend("a0", limit=2, paging=True, exclude_seen=False)
    second = client.next_page(first)
    together = [place.item for page in (first, second) for place in page.items]
    assert together == [place.item for place in client.recommend("a0", limit=4, exclude_seen=False).items]
    with pytest.raises(ParameterError, match="no next page"):
        client.next_page(client.recommend("a0"))


@pytest.mark.parametrize("item", ["plain", "a/b c?d#e&f%2F", "..", "Ü\u2603", "7"])
def test_items_of_any_id(client, item):
    assert client.put_item(item, title="One", categories=["Odd"], attributes={"price": 3}).item == item
    changed = client.patch_item(item, title=None, attributes={"size": 2})
    assert (changed.title, changed.attributes) == (None, {"price": 3, "size": 2})
    assert client.item(item).categories == ["Odd"]
    client.delete_item(item)
    with pytest.raises(RemoteError, match="there is no item") as gone:
        client.item(item)
    assert gone.value.code == 404


def test_users_and_long_lists(client, monkeypatch):
    monkeypatch.setattr("palate.client.recommender._PAGE", 7)
    assert len(list(client.items())) == 24
    assert client.put_user("new", categories=["Western"], segment=2).segment == 2
    assert client.patch_user("new", segment=None).segment is None
    assert client.user("new").categories == ["Western"]
    assert "new" in [each.user for each in client.users()]
    client.delete_user("new")
    with pytest.raises(RemoteError, match="there is no user"):
        client.user("new")


def test_an_import_is_waited_for(client):
    done = client.import_and_wait(
        [{"item": f"imported-{n}", "title": "I"} for n in range(3)], [{"user": "imported", "tags": ["t"]}], every=0.05
    )
    assert (done.state, done.result["items"], done.result["users"]) == ("done", 3, 1)
    assert client.import_state(done.job).progress == 1
    for n in range(3):
        client.delete_item(f"imported-{n}")
    client.delete_user("imported")
    with pytest.raises(RemoteError, match=r"items\.0\.item"):
        client.start_import([{"item": ""}])


def test_a_file_is_imported(client, tmp_path):
    file = tmp_path / "items.jsonl"
    file.write_text('{"item": "of-a-file", "title": "F"}\n')
    assert client.import_file_and_wait(file, every=0.05).result["items"] == 1
    assert client.item("of-a-file").title == "F"
    client.delete_item("of-a-file")
    file.write_text("[]")
    with pytest.raises(RemoteError, match="line 1: it must be"):
        client.import_file_and_wait(file, every=0.05)
    with pytest.raises(ParameterError, match="cannot be read"):
        client.start_import_file(tmp_path / "nowhere")


def test_an_event_counts_once_whatever_happens_to_its_answer(client, house):
    house.lose(2)
    told = client.add_event("eve", "western-3", "click", weight=2.0)
    assert [path for _, path in house.requests] == ["/v1/events"] * 3
    assert (told.stored, told.repeated) == (0, 1)
    held = list(client.events("eve"))
    assert [(event.id, event.kind, event.weight) for event in held] == [(told.ids[0], "click", 2.0)]
    assert client.recommend("eve", limit=1).strategies == ["fold-in"]
    client.delete_user("eve")


def test_many_events(client):
    sent = [{"user": "many", "item": f"comedy-{n % 12}", "timestamp": 1000.0 + n} for n in range(1100)]
    told = client.add_events(sent)
    assert (told.stored, len(set(told.ids))) == (1100, 1100)
    assert [event.timestamp for event in client.events("many")][-1] < 1500
    page = client.export_events(0, 100)
    while not (exported := pq.read_table(io.BytesIO(page.parquet))).num_rows:
        page = client.export_events(page.next, 100)
    assert set(exported["user"].to_pylist()) == {"many"}
    assert client.export_events(page.next, 100).next > page.next
    assert client.add_events([]).stored == 0
    client.delete_user("many")


def test_deployments(client, house):
    made = client.put_deployment("shop", [{"name": "old", "weight": 9.0}, {"name": "new", "weight": 1.0}])
    assert [variant.share for variant in made.variants] == [0.9, 0.1]
    weighted = client.patch_deployment("shop", {"new": 9.0})
    assert [variant.weight for variant in weighted.variants] == [9.0, 9.0]
    house.api.until(lambda: "shop" in house.api.live.traffic.plans)
    answer = client.recommend("a0", deployment="shop", variant="new")
    assert (answer.deployment, answer.variant) == ("shop", "new")
    assert [variant.name for variant in client.deployment_stats("shop", 600).variants] == ["old", "new"]
    assert client.deployment_changes("shop")[0].what == "new has the weight 9"
    assert "shop" in [each.name for each in client.deployments()]
    house.lose(1)
    with pytest.raises(RemoteError, match="may have been done"):
        client.start_rollout("shop", "new", kind="linear", share=0.5)
    assert len(house.requests) == 1
    running = client.rollouts("shop")[0]
    assert (running.state, running.bounds["errors"]) == ("running", 0.01)
    assert client.pause_rollout("shop", running.rollout).state == "paused"
    assert client.resume_rollout("shop", running.rollout).state == "running"
    assert client.stop_rollout("shop", running.rollout).state == "stopped"
    assert client.rollout("shop", running.rollout).ended_at is not None
    house.lose(1)
    client.delete_deployment("shop")  # sent again, it finds nothing: it is done
    assert len(house.requests) == 2
    with pytest.raises(RemoteError, match="no deployment"):
        client.deployment("shop")


def test_features_are_those_of_the_offline_tables(client, house, tmp_path, monkeypatch, capsys):
    events = pa.table({"user": ["ann", "ann", "bob"], "item": ["a/b", "x", "x"], "timestamp": [1000.0, 2000.0, 3000.0]})
    pq.write_table(events, tmp_path / "events.parquet")
    definition = tmp_path / "features.toml"
    text = (
        '[[feature]]\nname = "seen"\nof = "user"\n[[feature]]\nname = "idle"\nof = "item"\naggregate = "days_since"\n'
    )
    definition.write_text(text)
    monkeypatch.setenv("PALATE_HOME", str(house.api.app.extensions["palate"].settings.home))
    main(["features", "refresh", "--features", str(definition), "--events", str(tmp_path / "events.parquet"),
          "--at", "87400"])  # fmt: skip
    assert "4 users and items" in capsys.readouterr().out
    told = client.features(["bob", "nobody", "ann"], ["x", "a/b"])
    assert [(each.id, each.as_of, each.features) for each in told.users] == [
        ("bob", 87400, {"seen": 1}), ("nobody", None, None), ("ann", 87400, {"seen": 2}),
    ]  # fmt: skip
    rows = pa.table({"item": ["x", "a/b"], "timestamp": [87400.0] * 2})
    offline = EventFeatures.read(definition).of("item")
    known = EventFeatures(offline).as_of(events, rows)["idle"].to_pylist()
    assert [each.features["idle"] for each in told.items] == known == [84400 / 86400, 1.0]
    assert client.user_features("ann").features == {"seen": 2}
    assert client.item_features("a/b").features == {"idle": 1.0}
    with pytest.raises(RemoteError, match=r"nothing is held of the user .* features refresh") as unknown:
        client.user_features("nobody")
    assert unknown.value.code == 404
    for wrong in ({}, {"users": ["u"] * 1001}, {"users": [""]}, {"items": [1.5]}, {"users": "ann"}, {"ids": ["ann"]}):
        assert house.api.call("POST", "/v1/features", wrong).status_code == 422, wrong
    assert house.api.app.test_client().post("/v1/features", json={"users": ["ann"]}).status_code == 401


def test_standing_rules(client):
    assert client.set_rules(max_per_category=1)["max_per_category"] == 1
    client.set_rules()
    assert client.rules()["max_per_category"] is None


def test_refusals_in_the_services_words(client, house):
    with pytest.raises(RemoteError, match="filter, at 9") as refused:
        client.recommend("a0", filter="price < ")
    assert refused.value.code == 422
    assert refused.value.problem["errors"][0]["field"] == "filter, at 9"
    assert refused.value.problem["request_id"]
    with type(client)(house.url, "no-key", policy=QUICK) as stranger:
        with pytest.raises(RemoteError, match="unknown or was revoked") as strange:
            stranger.model()
        assert strange.value.code == 401
    with type(client)(f"{house.url}/health", house.api.token, policy=QUICK) as astray, pytest.raises(RemoteError):
        astray.model()


def test_what_cannot_be_sent(client):
    for call in (
        lambda: client.item(""),
        lambda: client.user("\ud800"),
        lambda: client.add_event("a0", "comedy-1", weight=float("nan")),
        lambda: client.recommend("a0", category={"Comedy"}),
    ):
        with pytest.raises(ParameterError):
            call()


def test_another_service_is_told_apart(client, house, monkeypatch):
    monkeypatch.setattr("palate.client.recommender.address", lambda kind, name: "/openapi.json")
    with pytest.raises(RemoteError, match=r"not as expected.*Is it a recommendation service"):
        client.item("a")


def test_calls_of_the_awaited_client_run_side_by_side(house):
    async def ask():
        async with AsyncRecommenderClient(house.url, house.api.token, policy=QUICK) as client:
            return await asyncio.gather(*(client.recommend(f"a{n}", limit=1) for n in range(10)))

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, ask()).result()
    assert {answer.items[0].categories[0] for answer in answers} == {"Comedy"}


PAIRS = [
    (getattr(module, name), mine)
    for module, names in (
        (told, {"ItemOut": "Item", "UserOut": "User", "ItemsOut": "Items", "UsersOut": "Users", "EventOut": "Event",
                "EventList": "Events", "ImportOut": "Import", "EventsOut": "Stored", "ModelOut": "Served",
                "RankedOut": "Ranked", **{name: name for name in
                ("Why", "Place", "Recommended", "UserAnswer", "Answers", "StoredUser")}}),
        (deployed, {"VariantOut": "Variant", "DeploymentOut": "Deployment", "ClickThroughOut": "ClickThrough",
                    "VariantStats": "VariantStats", "StatsOut": "Stats",
                    "ChangeOut": "Change", "RolloutOut": "Rollout", "Deployments": "Deployments",
                    "Changes": "Changes", "Rollouts": "Rollouts"}),
        (features, {"FeaturesOut": "Features", "FeaturesOfMany": "FeaturesOfMany"}),
        (variants, {"LatencyOut": "Latency", "VariantStats": "EndpointVariantStats"}),
        (hosted, {"VariantOut": "EndpointVariant", "EndpointOut": "Endpoint", "Endpoints": "Endpoints",
                  "StatsOut": "EndpointStats", "RolloutOut": "EndpointRollout", "Rollouts": "EndpointRollouts"}),
        (transforms, {"TransformOut": "Transform"}),
        (wanted, {"WantedOut": "Wanted", "WantedItem": "WantedItem"}),
    )
    for name, mine in names.items()
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "mine"), PAIRS, ids=[mine for _, mine in PAIRS])
def test_answers_have_the_fields_that_the_service_gives(theirs, mine):
    fields = getattr(answers if hasattr(answers, mine) else behind_names, mine).model_fields
    assert set(fields) == set(theirs.model_fields)
    assert {name for name, field in fields.items() if field.is_required()} == {
        name for name, field in theirs.model_fields.items() if field.is_required()
    }


def test_every_route_has_a_method(shared_api):
    """Whatever /v1 offers, the client can ask."""
    given = {
        "user": "u", "item": "i", "name": "n", "variant": "v", "job": 7, "rollout": 7, "cursor": None, "file": __file__,
        "recent_items": ["i"], "users": ["u"], "items": ["i"], "events": [{"user": "u", "item": "i"}], "variants": [],
        "answer": answers.Recommended(
            items=[], strategies=[], model_version="", recommendation_id="x", next="/v1/recommendations/x?after=2"
        ),
    }  # fmt: skip
    routes = shared_api.app.url_map.bind("localhost")
    client, asked = RecommenderClient("http://localhost"), set()
    for name in dir(Methods):
        each = inspect.getattr_static(Methods, name)
        if isinstance(each, (method, listing)):
            names = [name for name in inspect.signature(each.plan).parameters if name in given]
            first = next(each.plan(client, **{name: given[name] for name in names}))
            asked.add(routes.match(first.path.split("?")[0], first.method)[0])
    offered = {rule.endpoint for rule in shared_api.app.url_map.iter_rules() if rule.endpoint.startswith("v1.")}
    assert offered - asked == {"v1.for_user"}  # POST /v1/recommendations takes a user, and more rules


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(house):
    with RecommenderClient(house.url, house.api.token, policy=QUICK) as made:
        yield made


@pytest.fixture
def palate(house, capsys, monkeypatch):
    """Runs `palate recommend` against the service: (exit code, what it printed, what it complained of)."""
    monkeypatch.setenv("PALATE_API_URL", house.url)
    monkeypatch.setenv("PALATE_API_KEY", house.api.token)

    def run(*arguments):
        code = 0
        try:
            main(["recommend", *arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def test_the_command_shows_a_table(palate, shop):
    code, shown, told = palate("a0", "--k", "2", "--why", "--filter", 'category = "Comedy"')
    answer = shop.recommend("a0", limit=2, explain=True, filter='category = "Comedy"')
    assert (code, told) == (0, f"{answer.model_version}\n")
    assert shown.splitlines()[0].split() == ["#", "item", "title", "score", "strategy", "because", "of"]
    for line, place in zip(shown.splitlines()[1:], answer.items, strict=True):
        assert str(place.item) in line
        assert f"history: {place.why.items[0]}" in line


def test_the_command_prints_json(palate, shop):
    code, shown, _ = palate("--item", "western-1", "-k", "3", "--json")
    assert code == 0
    similar = shop.similar("western-1", limit=3)
    assert [place["item"] for place in json.loads(shown)["items"]] == [place.item for place in similar.items]


def test_the_command_asks_a_bundle(palate, shop, house):
    bundles = str(house.api.app.extensions["palate"].settings.bundle)
    cases = ((("a0",), "personal"), (("--item", "western-1"), "similar"), (("nobody",), "popular"))
    for arguments, strategy in cases:
        code, shown, _ = palate(*arguments, "--bundle", bundles, "--json", "--k", "3")
        assert code == 0
        told = json.loads(shown)
        assert len(told["items"]) == 3
        assert told["strategies"] == [strategy]
    code, shown, _ = palate("a0", "--bundle", bundles, "-k", "24", "--json")
    assert [place["item"] for place in json.loads(shown)["items"]] == [
        place.item for place in shop.recommend("a0", limit=24).items if place.strategy == "personal"
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Usage"),
        (("--why",), "Give a USER, an --item, or both"),
        (("a0", "--filter", "price <"), "filter, at 8"),
        (("a0", "--k", "0"), "1<=x<=200"),
        (("--item", "none such"), "there is no item"),
        (("a0", "--deployment", "none"), "there is no deployment"),
        (("a0", "--key", "wrong"), "unknown or was revoked"),
        (("a0", "--url", "localhost"), "no address of a service"),
        (("a0", "--url", "http://127.0.0.1:9"), "cannot be reached"),
        (("a0", "--bundle", "/nowhere"), "/nowhere"),
        (("a0", "--bundle", "/nowhere", "--filter", "price < 1"), "--filter: a bundle alone knows nothing of it"),
    ],
)
def test_the_command_says_what_is_wrong(palate, arguments, told):
    code, shown, complaint = palate(*arguments)
    assert code == 2
    assert told in (complaint or shown)
    assert "Traceback" not in complaint
