"""What is wrong with a request is told as AWS tells it, with the place; nothing is a bug, and boto3 knows the type."""

from __future__ import annotations

import json

import pytest

BIG = "\n".join(["1,2,3"] * 3000)
WIDE = ",".join(["1.5"] * 200_000)
LARGE_JSON = '{"instances": [' + ", ".join(['{"features": [1, 2, 3]}'] * 800)

REFUSED = {
    # name: (endpoint, body, content type, status, words of the message)
    "empty": ("pca", "", "text/csv", 400, "empty"),
    "blank": ("pca", " \n\n", "application/json", 400, "empty"),
    "no type": ("pca", "1,2,3", "", 415, "text/csv"),
    "foreign type": ("pca", "1,2,3", "application/x-parquet", 415, "application/jsonlines"),
    "csv, text": ("pca", "1,2,3\n4,x,6", "text/csv", 400, "column 2, row 2"),
    "csv, header": ("pca", "a,b,c\n4,5,6", "text/csv", 400, "without a header"),
    "csv, ragged": ("pca", "1,2,3\n4,5", "text/csv", 400, "row 2: Expected 3 columns, got 2"),
    "csv, hole": ("pca", "1,,3", "text/csv", 400, "column 2, row 1"),
    "csv, late": ("pca", BIG + "\n1,2,?", "text/csv", 400, "column 3, row 3001"),
    "csv, underscore": ("pca", "1_0,2,3", "text/csv", 400, "1_0"),
    "csv, semicolons": ("pca", "1;2;3", "text/csv", 400, "1;2;3"),
    "csv, wide": ("pca", WIDE, "text/csv", 424, "200000 numbers, the model takes 3"),
    "csv, wide, text": ("pca", WIDE + "\n" + WIDE[:-3] + "x", "text/csv", 400, "column 200000, row 2"),
    "csv, wide, ragged": ("pca", WIDE + "\n1,2", "text/csv", 400, "row 2: Expected 200000 columns, got 2"),
    "csv, wide, hole": ("pca", WIDE[:-3], "text/csv", 400, "row 1: a number is missing"),
    "csv, binary": ("pca", b"\xff\xfe\x00", "text/csv", 400, "row 1"),
    "csv of lists": ("lists", "a,b", "text/csv", 400, "holds lists"),
    "json, cut": ("pca", '{"instances": [', "application/json", 400, "line 1, column 16"),
    "json, cut late": ("pca", LARGE_JSON, "application/json", 400, "The body is not JSON"),
    "json, no instances": ("pca", "[[1, 2, 3]]", "application/json", 400, "instances"),
    "json, more": ("pca", '{"instances": [], "x": 1}', "application/json", 400, "nothing else"),
    "json, nan": ("pca", '{"instances": [{"features": [1, NaN, 2]}]}', "application/json", 400, "NaN"),
    "json, nan in much": ("pca", LARGE_JSON + ', {"features": [1, NaN, 2]}]}', "application/json", 400, "NaN"),
    "json, beyond floats": (
        "pca",
        '{"instances": [{"features": [1%s, 0, 1]}]}' % ("0" * 400),
        "application/json",
        400,
        "Row 0 has a number",
    ),
    "lines, nothing but null": ("pca", "null\n" * 3000, "application/jsonlines", 400, "Row 0 is not a vector"),
    "json, no vector": ("pca", '{"instances": [{"features": [1, 2, 3]}, 7]}', "application/json", 400, "Row 1"),
    "json, null late": ("pca", LARGE_JSON + ", null]}", "application/json", 400, "Row 800"),
    "json, key twice": ("pca", '{"instances": [], "instances": []}', "application/json", 400, "twice"),
    "json, deep": ("pca", "[" * 400 + "]" * 400, "application/json", 400, "nested deeper"),
    "lines, cut": ("pca", '{"features": [1, 2, 3]}\n{"features": [1', "application/jsonlines", 400, "Line 2"),
    "sparse, outside": (
        "pca",
        json.dumps({"instances": [{"data": {"features": {"keys": [3], "values": [1], "shape": [3]}}}]}),
        "application/json",
        400,
        "Row 0 has a key outside of 0 to 2",
    ),
    "sparse, twice": (
        "pca",
        json.dumps({"instances": [{"data": {"features": {"keys": [1, 1], "values": [1, 2], "shape": [3]}}}]}),
        "application/json",
        400,
        "key twice",
    ),
    "sparse, huge": (
        "pca",
        json.dumps({"instances": [{"data": {"features": {"keys": [1], "values": [1], "shape": [10**12]}}}]}),
        "application/json",
        400,
        "cannot have 1000000000000 numbers",
    ),
    "sparse, no shape": (
        "pca",
        json.dumps({"instances": [{"data": {"features": {"keys": [1], "values": [1]}}}]}),
        "application/json",
        400,
        "Row 0 is not a vector",
    ),
    "fields": ("als", '{"instances": [{"usr": "a1"}]}', "application/json", 400, "no field 'usr'"),
    "too large": ("pca", "1,2,3\n" * 400_000, "text/csv", 413, "larger"),
    "nowhere": ("nowhere", "1,2,3", "text/csv", 404, "no endpoint 'nowhere'"),
    # What the model itself refuses.
    "width": ("pca", "1,2\n3,4", "text/csv", 424, "2 numbers, the model takes 3"),
    "json, width": ("pca", '{"instances": [{"features": [1, 2]}]}', "application/json", 424, "the model takes 3"),
    "json, ragged": (
        "pca",
        '{"instances": [{"features": [1, 2, 3]}, {"features": [1]}]}',
        "application/json",
        424,
        "features:1",
    ),
    "csv, nan": ("pca", "1,2,3\n1,nan,3", "text/csv", 424, "features:1:1"),
    "csv, infinite": ("pca", "1,2,3\n1,3,1e39", "text/csv", 424, "features:1:2"),
    "json, text": ("pca", '{"instances": [{"features": [1, "2", 3]}]}', "application/json", 424, "features:0:1"),
    "json, no numbers": ("pca", '{"instances": [{"features": []}]}', "application/json", 424, "the model takes 3"),
    "no user": ("als", '{"instances": [{}]}', "application/json", 424, "'user' is missing"),
}


@pytest.fixture(scope="module")
def lists(api, tmp_path_factory, world_items):
    """An endpoint whose model takes columns of lists."""
    from palate.bundle import write_bundle
    from palate.features import ContentEncoder

    folder = tmp_path_factory.mktemp("lists") / "bundle"
    write_bundle(ContentEncoder().fit(world_items), folder)
    assert api.deploy("lists", folder).status_code == 201


@pytest.fixture(scope="module")
def world_items():
    import sys

    return sys.modules["services_world"].items()


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_is_refused_with_its_reason(api, lists, name):
    endpoint, body, kind, status, words = REFUSED[name]
    answer = api.invoke(endpoint, body, kind)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-amzn-ErrorType"] == ("ModelError" if status == 424 else "ValidationError")
    assert answer.headers["x-amzn-RequestId"] == answer.headers["X-Request-Id"]
    assert answer.content_type == "application/json"
    assert words in answer.json["message"]
    if status == 424:
        assert (answer.json["OriginalStatusCode"], answer.json["OriginalMessage"]) == (400, answer.json["message"])


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"Accept": "image/png"}, 406, "application/jsonlines"),
        ({"X-Amzn-SageMaker-Target-Variant": "blue"}, 400, "AllTraffic"),
        ({"X-Amzn-SageMaker-Target-Model": "a.tar.gz"}, 400, "target model"),
    ],
)
def test_a_header_that_cannot_be_met_is_refused(api, headers, status, words):
    answer = api.invoke("pca", "1,2,3", "text/csv", **headers)
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (status, "ValidationError")
    assert words in answer.json["message"]


def test_half_a_body_is_refused(api):
    answer = api.call(
        "POST",
        "/endpoints/pca/invocations",
        data=b"1,2,3\n4,5,6",
        content_type="text/csv",
        environ_overrides={"CONTENT_LENGTH": "500", "wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert "ended early" in answer.json["message"]


def test_a_body_in_chunks_is_not_answered_up_to_the_limit(api):
    answer = api.call(
        "POST",
        "/endpoints/pca/invocations",
        data=b"1,2,3\n" * 400_000,
        content_type="text/csv",
        environ_overrides={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (413, "ValidationError")
    assert "larger than 2,000,000 bytes" in answer.json["message"]


def test_the_only_variant_may_be_named(api):
    answer = api.invoke("pca", "1,2,3", "text/csv", **{"X-Amzn-SageMaker-Target-Variant": "AllTraffic"})
    assert answer.status_code == 200


def test_items_cannot_be_csv(api):
    answer = api.invoke("als", "a1", "text/csv", Accept="text/csv")
    assert (answer.status_code, answer.headers["x-amzn-ErrorType"]) == (406, "ValidationError")


def test_who_may_ask(api):
    scope = "a/20260101/us-east-1/sagemaker/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    for header, kind in (
        ({}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Bearer nonsense"}, "UnrecognizedClientException"),
        ({"Authorization": signed}, "UnrecognizedClientException"),
        ({"Authorization": f"Bearer {api.key('endpoints')}"}, "AccessDeniedException"),
    ):
        for name in ("pca", "nowhere"):
            refused = api.client.post(f"/endpoints/{name}/invocations", data="1,2,3", headers=header)
            assert (refused.status_code, refused.headers["x-amzn-ErrorType"]) == (403, kind)
    assert api.client.get("/ping").status_code == 200


def test_other_routes_tell_problems(api):
    refused = api.client.get("/v1/endpoints")
    assert (refused.status_code, refused.content_type) == (401, "application/problem+json")
    assert api.call("GET", "/endpoints/pca").json["type"] == "/problems/not-found"
