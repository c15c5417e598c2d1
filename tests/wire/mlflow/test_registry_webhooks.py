"""Webhooks made by the real client reach a real HTTP server, signed, and again where it failed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.real_mlflow import mlflow

MlflowClient, MlflowException = mlflow.MlflowClient, mlflow.MlflowException
WebhookEvent, WebhookStatus = mlflow.entities.WebhookEvent, mlflow.entities.WebhookStatus

pytestmark = pytest.mark.mlflow

SECRET = "s3cret"


class Receiver:
    """Answers with the statuses it is given, then with 200, and keeps what came."""

    def __init__(self):
        self.statuses, self.received = queue.Queue(), queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.received.put((dict(self.headers), body))
                self.send_response(200 if receiver.statuses.empty() else receiver.statuses.get())
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?x=1"

    def next(self):
        headers, body = self.received.get(timeout=20)
        signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body}".encode()
        wanted = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["X-MLflow-Signature"] == f"v1,{wanted}"
        return headers["X-MLflow-Delivery-Id"], json.loads(body)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def client(registry_url):
    return MlflowClient(tracking_uri=registry_url, registry_uri=registry_url)


def events(*names):
    return [WebhookEvent.from_str(name) for name in names]


def test_what_happens_is_told_in_order_and_told_again_after_a_500(client, receiver):
    wanted = events("registered_model.created", "model_version.created", "model_version_alias.created")
    client.create_webhook("ci", receiver.url, wanted, secret=SECRET)
    receiver.statuses.put(500)
    client.create_registered_model("bikes", tags={"team": "rides"}, description="hourly")
    client.set_registered_model_tag("bikes", "unheard", "of")
    client.create_model_version("bikes", "models:/m-1", run_id="a" * 32, await_creation_for=0)
    client.set_registered_model_alias("bikes", "best", "1")
    failed, again = receiver.next(), receiver.next()
    assert failed == again
    message = again[1]
    assert (message["entity"], message["action"]) == ("registered_model", "created")
    assert message["data"] == {"name": "bikes", "tags": {"team": "rides"}, "description": "hourly"}
    (first, created), (second, alias) = receiver.next(), receiver.next()
    assert created["data"] == {
        "name": "bikes",
        "version": "1",
        "source": "models:/m-1",
        "run_id": "a" * 32,
        "tags": {},
        "description": None,
    }
    assert (alias["entity"], alias["data"]) == (
        "model_version_alias",
        {"name": "bikes", "alias": "best", "version": "1"},
    )
    assert len({failed[0], first, second}) == 3
    assert receiver.received.empty()


def test_webhooks_are_listed_changed_tested_and_deleted(client, receiver):
    made = client.create_webhook("ci", receiver.url, events("model_version.created"), description="d")
    client.create_webhook("other", receiver.url, events("prompt.created"))
    page = client.list_webhooks(max_results=1)
    rest = client.list_webhooks(max_results=1, page_token=page.token)
    assert [item.name for item in [*page, *rest]] == ["ci", "other"]
    changed = client.update_webhook(made.webhook_id, name="cd", secret=SECRET, status=WebhookStatus.DISABLED)
    assert (changed.name, changed.status, changed.description) == ("cd", WebhookStatus.DISABLED, "d")
    result = client.test_webhook(made.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (True, 200, "thanks")
    assert receiver.next()[1]["data"]["name"] == "example_model"
    receiver.statuses.put(403)
    assert client.test_webhook(made.webhook_id).success is False
    receiver.received.get(timeout=5)
    client.create_registered_model("bikes")
    client.create_model_version("bikes", "models:/m-1", await_creation_for=0)
    client.delete_webhook(made.webhook_id)
    with pytest.raises(MlflowException) as gone:
        client.get_webhook(made.webhook_id)
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert receiver.received.empty()


@pytest.mark.parametrize(
    "url", ["ftp://example.org/x", "http://169.254.169.254/latest", "http://ann:pw@example.org/", "nonsense"]
)
def test_addresses_that_are_no_place_for_a_webhook_are_refused(client, url):
    with pytest.raises(MlflowException) as refused:
        client.create_webhook("ci", url, events("model_version.created"))
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_an_address_that_nobody_answers_says_so(client):
    made = client.create_webhook("ci", "http://127.0.0.1:1/", events("model_version.created"))
    result = client.test_webhook(made.webhook_id)
    assert (result.success, "refused" in result.error_message) == (False, True)
