"""AWS's own Personalize clients, pointed at the recommendation API, signing with a key's id and secret."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from click.testing import CliRunner
from services_world import COMEDIES, WESTERNS
from werkzeug.serving import make_server

from palate.cli import palate
from palate.errors import ParameterError
from palate.store.accounts import Accounts
from palate.web.sigv4 import secret_of
from services.recommender.deployments.named_filters import checked_filter, filled

ARN = "arn:aws:personalize:us-east-1:123456789012"


@pytest.fixture(scope="module")
def served(shared_api):
    """The API behind a real socket, with a deployment."""
    api = shared_api
    body = {
        "variants": [{"name": "only"}],
        "clicks": ["Click"],
        "filters": {"some": "category in ($categories)", "young": "timestamp >= $since and not tags has 'x$y'"},
    }
    assert api.call("PUT", "/v1/deployments/shop", body).status_code == 201
    api.until(lambda: "shop" in api.live.traffic.plans)
    server = make_server("127.0.0.1", 0, api.app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.port}"
    yield api
    server.shutdown()
    server.server_close()


def credentials(api, *scopes):
    """A new key's id and secret."""
    accounts = Accounts(api.store.engine)
    key, _ = accounts.create_key("aws", scopes or ["*"])
    return key, secret_of(api.app.secret_key, key, accounts.key_principal(key).stamp)


def client(api, service, key=None):
    name, secret = key or credentials(api)
    return boto3.client(
        service,
        endpoint_url=api.url,
        region_name="eu-central-1",
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_recommendations_are_those_of_the_deployment(served):
    runtime = client(served, "personalize-runtime")
    found = runtime.get_recommendations(campaignArn=f"{ARN}:campaign/shop", userId="b1", numResults=4)
    own = served.get("/v1/users/b1/recommendations?deployment=shop&limit=4").json["items"]
    assert [(each["itemId"], each["score"]) for each in found["itemList"]] == [(e["item"], e["score"]) for e in own]
    assert len(found["recommendationId"]) == 32
    like = runtime.get_recommendations(recommenderArn=f"{ARN}:recommender/shop", itemId="western-1")["itemList"]
    assert like[0]["itemId"] in WESTERNS
    assert "western-1" not in {each["itemId"] for each in like}
    whoever = runtime.get_recommendations(campaignArn="default", userId="nobody", context={"DEVICE": "phone"})
    assert len(whoever["itemList"]) > 10


def test_named_filters_take_values(served):
    runtime = client(served, "personalize-runtime")
    asked = {"campaignArn": "shop", "userId": "b1", "numResults": 50}
    found = runtime.get_recommendations(
        **asked, filterArn=f"{ARN}:filter/some", filterValues={"categories": '"Comedy","Opera"'}
    )
    assert {each["itemId"] for each in found["itemList"]} <= set(COMEDIES)
    found = runtime.get_recommendations(**asked, filterArn=f"{ARN}:filter/young", filterValues={"since": "2000020"})
    assert {each["itemId"] for each in found["itemList"]} <= {f"western-{number}" for number in range(8, 12)}
    with pytest.raises(runtime.exceptions.ResourceNotFoundException):
        runtime.get_recommendations(**asked, filterArn=f"{ARN}:filter/none")
    for wrong in ({}, {"categories": "a", "more": "b"}, {"categories": '"a'}):
        with pytest.raises(runtime.exceptions.InvalidInputException):
            runtime.get_recommendations(**asked, filterArn=f"{ARN}:filter/some", filterValues=wrong)


def test_a_value_of_a_filter_is_never_more_than_a_value():
    text = "category in ($c) or title = '$c' or price < $p"
    checked_filter(text)
    made = filled(text, {"c": '"a\\" or b = \'c", d', "p": "-1.5"})
    assert made == 'category in ("a\\" or b = \'c", "d") or title = \'$c\' or price < -1.5'
    assert filled("x = $v", {"v": "'it\\'s'"}) == 'x = "it\'s"'
    assert filled("x = $v", {"v": "true"}) == "x = true"
    assert filled("x = $v", {"v": "1) or (y = 2"}) == 'x = "1) or (y = 2"'
    for wrong in ("", ",", '"a', "a,,b"):
        with pytest.raises(ParameterError):
            filled("x = $v", {"v": wrong})


def test_ranking_puts_the_list_into_order(served):
    runtime = client(served, "personalize-runtime")
    items = ["comedy-3", "western-3", "unknown"]
    found = runtime.get_personalized_ranking(campaignArn=f"{ARN}:campaign/shop", inputList=items, userId="a1")
    assert [each["itemId"] for each in found["personalizedRanking"]] == ["comedy-3", "western-3"]


def test_items_users_and_events_are_stored(served):
    events = client(served, "personalize-events")
    events.put_items(
        datasetArn=f"{ARN}:dataset/shop/ITEMS",
        items=[{"itemId": "dusk", "properties": json.dumps({"genres": "Western|Drama", "title": "Dusk", "price": 3})}],
    )
    stored = served.get("/v1/items/dusk").json
    assert (stored["categories"], stored["title"], stored["attributes"]) == (["Western", "Drama"], "Dusk", {"price": 3})
    events.put_users(
        datasetArn=f"{ARN}:dataset/shop/USERS",
        users=[{"userId": "pat", "properties": json.dumps({"segment": 2, "AGE": 30})}],
    )
    assert served.get("/v1/users/pat").json["attributes"] == {"AGE": 30}
    shown = client(served, "personalize-runtime").get_recommendations(campaignArn="shop", userId="pat")
    sent = {
        "trackingId": "any",
        "sessionId": "s1",
        "userId": "pat",
        "eventList": [
            {
                "eventId": "e-pat",
                "eventType": "Click",
                "itemId": "western-2",
                "sentAt": datetime.now(UTC),
                "eventValue": 2.0,
                "recommendationId": shown["recommendationId"],
            }
        ],
    }
    events.put_events(**sent)
    events.put_events(**sent)
    assert served.get("/v1/users/pat").json["recent_items"] == ["western-2"]
    listed = served.get("/v1/events?user=pat").json["events"]
    assert [(each["id"], each["kind"], each["weight"]) for each in listed] == [("e-pat", "Click", 2.0)]
    served.until(lambda: served.get("/v1/deployments/shop/stats").json["variants"][0]["clicks"] == 1)
    with pytest.raises(events.exceptions.ResourceInUseException):
        events.put_events(**{**sent, "userId": "somebody-else"})
    del sent["userId"], sent["eventList"][0]["eventId"]
    events.put_events(**sent)
    assert served.get("/v1/users/s1").json["recent_items"] == ["western-2"]


def test_what_is_wrong_is_the_clients_own_exception(served):
    runtime, events = client(served, "personalize-runtime"), client(served, "personalize-events")
    with pytest.raises(runtime.exceptions.ResourceNotFoundException) as gone:
        runtime.get_recommendations(campaignArn=f"{ARN}:campaign/none", userId="a1")
    assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert len(gone.value.response["ResponseMetadata"]["RequestId"]) == 16
    for wrong in (
        {"userId": "a1"},
        {"campaignArn": "shop", "recommenderArn": "shop", "userId": "a1"},
        {"campaignArn": "shop", "userId": "a1", "numResults": 5000},
        {"campaignArn": "shop", "userId": "a1", "filterValues": {"a": "b"}},
        {"campaignArn": "shop", "userId": "a1", "promotions": [{"name": "p"}]},
        {"campaignArn": "shop", "userId": "a\x00b"},
    ):
        with pytest.raises(runtime.exceptions.InvalidInputException):
            runtime.get_recommendations(**wrong)
    for properties in ("no json", "[1]", '{"title": 3}'):
        with pytest.raises(events.exceptions.InvalidInputException):
            events.put_items(datasetArn="d", items=[{"itemId": "i", "properties": properties}])
    event = {"eventType": "Click", "sentAt": datetime.now(UTC)}
    with pytest.raises(events.exceptions.InvalidInputException, match="itemId"):
        events.put_events(trackingId="t", sessionId="s", eventList=[event])


# -- signatures --------------------------------------------------------------------------------------------------------


def code(call, **asked):
    with pytest.raises(ClientError) as refused:
        call(**asked)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return refused.value.response["Error"]["Code"]


def test_keys_and_secrets_that_are_wrong(served):
    asked = {"campaignArn": "shop", "userId": "a1"}
    key, secret = credentials(served, "recommend")
    assert client(served, "personalize-runtime", (key, secret)).get_recommendations(**asked)["itemList"]
    wrong = client(served, "personalize-runtime", (key, secret + "x"))
    assert code(wrong.get_recommendations, **asked) == "InvalidSignatureException"
    stranger = client(served, "personalize-runtime", ("0000", secret))
    assert code(stranger.get_recommendations, **asked) == "UnrecognizedClientException"
    limited = client(served, "personalize-events", (key, secret))
    assert code(limited.put_items, datasetArn="d", items=[{"itemId": "i"}]) == "AccessDeniedException"
    Accounts(served.store.engine).revoke_key(key)
    get = served.client.get
    served.until(lambda: get("/v1/model", headers=signed("GET", "/v1/model", (key, secret))).status_code == 401)


def signed(method, path, key, body=b"", when=None, **headers):
    """The headers of a request as botocore signs it, at another time if told."""
    request = AWSRequest(method, f"http://localhost{path}", headers=headers, data=body)
    request.context["timestamp"] = (when or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    auth = SigV4Auth(Credentials(*key), "personalize", "us-east-1")
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return dict(request.headers.items())


PATHS = ["/v1/items?limit=3&cursor=", "/v1/users/b%201%2Bx%C3%A9~/recommendations?category=a%20b&category=%C3%A9"]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", PATHS)
def test_paths_and_queries_are_signed_as_they_are_sent(served, path):
    key = credentials(served)
    answer = served.client.get(path, headers=signed("GET", path, key))
    assert answer.status_code == 200 or "cursor" in answer.text
    other = served.client.get(path + "x", headers=signed("GET", path, key))
    assert (other.status_code, other.json["type"]) == (401, "/problems/unauthenticated")


@pytest.mark.parametrize(("minutes", "status"), [(-16, 403), (-14, 200), (14, 200), (16, 403)])
def test_a_signature_holds_for_a_quarter_of_an_hour(served, minutes, status):
    body = json.dumps({"campaignArn": "shop", "userId": "a1"}).encode()
    when = datetime.now(UTC) + timedelta(minutes=minutes)
    headers = signed("POST", "/recommendations", credentials(served), body, when, **JSON)
    answer = served.client.post("/recommendations", data=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("x-amzn-ErrorType") == (None if status == 200 else "InvalidSignatureException")


def test_a_changed_body_or_header_breaks_the_signature(served):
    body = json.dumps({"campaignArn": "shop", "userId": "a1"}).encode()
    headers = signed("POST", "/recommendations", credentials(served), body, **JSON)
    post, told = served.client.post, headers["Authorization"]
    assert post("/recommendations", data=body, headers=headers).status_code == 200
    wrong = [
        (body.replace(b"a1", b"a2"), headers, "InvalidSignatureException"),
        (body, {**headers, "Content-Type": "text/plain"}, "InvalidSignatureException"),
        (body, {**headers, "X-Amz-Date": "today"}, "IncompleteSignatureException"),
        (body, {**headers, "X-Amz-Date": "20200101T000000Z"}, "InvalidSignatureException"),
        (body, {**headers, "Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "IncompleteSignatureException"),
        (body, {**headers, "Authorization": told.replace("host;", "")}, "IncompleteSignatureException"),
        (body, {**headers, "Authorization": told.replace("host;", "host;x-none;")}, "InvalidSignatureException"),
        (body, JSON, "MissingAuthenticationTokenException"),
    ]
    for sent, by, expected in wrong:
        answer = post("/recommendations", data=sent, headers=by)
        assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (403, expected)
    bearer = {"Authorization": f"Bearer {served.token}"}
    assert post("/recommendations", data=b"{", headers={**JSON, **bearer}).status_code == 400
    assert post("/recommendations", data=body, headers=bearer).status_code == 415


def test_the_command_prints_id_and_secret(served, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(served.app.extensions["palate"].settings.home))
    monkeypatch.setenv("PALATE_CONFIG", os.devnull)
    made = CliRunner().invoke(palate, ["keys", "create", "--aws", "--scope", "recommend", "aws"])
    assert made.exit_code == 0, made.output
    told = dict(line.split("=", 1) for line in made.stdout.splitlines() if line.startswith("AWS_"))
    key = told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]
    assert client(served, "personalize-runtime", key).get_recommendations(campaignArn="default", userId="a1")[
        "itemList"
    ]
