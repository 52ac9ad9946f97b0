"""AWS's own client, pointed at a real server with two workers by `endpoint_url`: answers, and its typed exceptions."""

from __future__ import annotations

import json
import sys
import time
import urllib.request

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from services.endpoints.recordio import records


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    held = sys.modules["endpoint_server"].Server(tmp_path_factory.mktemp("server"))
    held.start()
    yield held
    held.stop()
    assert held.process.returncode == 0


def client(server, key=None):
    """A client that signs with a key's id and secret."""
    name, secret = key or server.aws
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="local",
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def bearer(server):
    """A client that sends the key's token instead, as docs/endpoints.md shows."""
    made = boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="local",
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )
    token = f"Bearer {server.token}"
    made.meta.events.register("before-send", lambda request, **_: request.headers.update(Authorization=token))
    return made


def deploy(server, name, bundle, **said):
    request = urllib.request.Request(
        f"{server.url}/v1/endpoints/{name}",
        json.dumps(said or {"bundle": str(bundle)}).encode(),
        {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.headers["Server-Worker"]


def test_what_one_worker_deploys_every_worker_answers(server, bundles):
    deploy(server, "clusters", bundles / "kmeans")
    workers = set()
    end = time.monotonic() + 60
    while len(workers) < 2:
        assert time.monotonic() < end
        answer = client(server).invoke_endpoint(
            EndpointName="clusters", Body=b"3,4\n0,0\n", ContentType="text/csv", Accept="application/json"
        )
        workers.add(answer["ResponseMetadata"]["HTTPHeaders"]["server-worker"])
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        assert answer["ContentType"] == "application/json"
        assert json.load(answer["Body"]) == {
            "predictions": [
                {"closest_cluster": 1.0, "distance_to_cluster": 0.0},
                {"closest_cluster": 0.0, "distance_to_cluster": 0.0},
            ]
        }
    lines = bearer(server).invoke_endpoint(
        EndpointName="clusters",
        Body=json.dumps({"instances": [{"data": {"features": {"keys": [1], "values": [5], "shape": [2]}}}]}),
        ContentType="application/json",
        Accept="application/jsonlines",
        TargetVariant="AllTraffic",
    )
    assert json.loads(lines["Body"].read()) == {"closest_cluster": 1.0, "distance_to_cluster": 3.1622777}


def test_errors_are_the_exceptions_of_the_client(server, bundles):
    deploy(server, "clusters", bundles / "kmeans")
    runtime = client(server)
    with pytest.raises(runtime.exceptions.ValidationError) as unknown:
        runtime.invoke_endpoint(EndpointName="nowhere", Body=b"1", ContentType="text/csv")
    assert "no endpoint 'nowhere'" in unknown.value.response["Error"]["Message"]
    with pytest.raises(runtime.exceptions.ModelError) as width:
        runtime.invoke_endpoint(EndpointName="clusters", Body=b"1,2,3", ContentType="text/csv")
    assert width.value.response["OriginalStatusCode"] == 400
    assert "the model takes 2" in width.value.response["OriginalMessage"]
    asked = {"EndpointName": "clusters", "Body": b"1,2", "ContentType": "text/csv"}
    for key, code in (
        (("0000", server.aws[1]), "UnrecognizedClientException"),
        ((server.aws[0], "wrong"), "InvalidSignatureException"),
    ):
        with pytest.raises(ClientError) as stranger:
            client(server, key).invoke_endpoint(**asked)
        assert stranger.value.response["Error"]["Code"] == code


def test_a_target_variant_and_binary_records(server, bundles):
    variants = [{"name": "a", "bundle": str(bundles / "kmeans")}, {"name": "b", "bundle": str(bundles / "kmeans")}]
    deploy(server, "both", None, variants=variants)
    asked = {"EndpointName": "both", "Body": b"3,4", "ContentType": "text/csv", "TargetVariant": "b"}
    found = client(server).invoke_endpoint(**asked, Accept="application/x-recordio-protobuf")
    assert found["InvokedProductionVariant"] == "b"
    assert len(list(records(found["Body"].read()))) == 1
    runtime = client(server)
    with pytest.raises(runtime.exceptions.ValidationError, match="There are: a, b"):
        runtime.invoke_endpoint(**{**asked, "TargetVariant": "c"})


def test_a_session_keeps_its_variant(server, bundles):
    variants = [{"name": "a", "bundle": str(bundles / "kmeans")}, {"name": "b", "bundle": str(bundles / "kmeans")}]
    deploy(server, "sticky", None, variants=variants)
    asked = {"EndpointName": "sticky", "Body": b"3,4", "ContentType": "text/csv"}
    first, again = (
        [
            runtime.invoke_endpoint(**asked, SessionId=session)["InvokedProductionVariant"]
            for session in ("ann", "bob", "cy", "dora", "eve", "fay", "gil", "hal")
        ]
        for runtime in (client(server), client(server))
    )
    assert first == again
    assert set(first) == {"a", "b"}
