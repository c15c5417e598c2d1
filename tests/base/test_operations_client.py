"""One declaration serves the API, the client and the OpenAPI page."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from holdfast.api.openapi import openapi
from holdfast.api.routes import routes
from holdfast.base.client import Client
from holdfast.base.context import Actor, Context
from holdfast.base.errors import NotFoundError, RemoteError, UnavailableError
from holdfast.base.operations import operation, operation_of

ADA = Context(Actor("ada"), "lab")


class GetPet(msgspec.Struct, frozen=True):
    name: str
    legs: int | None = None
    tame: bool = False


class AddPet(msgspec.Struct, frozen=True):
    name: str
    legs: int


class Pet(msgspec.Struct, frozen=True):
    name: str
    legs: int | None
    seen_by: str


class FindPets(msgspec.Struct, frozen=True):
    names: tuple[str, ...] = ()


class PetService:
    @operation("GET", "/pets/found", "Several pets.")
    def find(self, context: Context, request: FindPets) -> list[str]:
        return list(request.names)

    @operation("GET", "/pets/{name}", "One pet.")
    def get(self, context: Context, request: GetPet) -> Pet:
        if request.name == "snake":
            raise NotFoundError("there is no pet 'snake'", hint="list the pets", field="name")
        if request.name == "bug":
            raise KeyError("an unexpected mistake")
        return Pet(request.name, request.legs, f"{context.project}/{context.actor.name}")

    @operation("POST", "/pets", "Add a pet.")
    def add(self, context: Context, request: AddPet) -> Pet:
        return Pet(request.name, request.legs, context.actor.name)


@pytest.fixture
def door():
    return TestClient(Starlette(routes=routes([PetService()])), raise_server_exceptions=False)


@pytest.fixture
def url(door):
    """A real socket in front of the same routes, because the client speaks HTTP and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = door.request(self.command, self.path, content=body, headers=dict(self.headers))
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = _relay

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_client_calls_a_verb_and_gets_its_response(url):
    client = Client(url, ADA)
    assert client.call(PetService.get, GetPet("cat", legs=4)) == Pet("cat", 4, "lab/ada")
    assert client.call(PetService.add, AddPet("dog", 4)) == Pet("dog", 4, "ada")
    client.close()


def test_a_field_of_several_values_is_repeated_in_the_query(url, door):
    client = Client(url, ADA)
    for names in ((), ("cat",), ("a,b", "c&d", "ü")):
        assert client.call(PetService.find, FindPets(names)) == list(names)
    assert door.get("/api/v1/pets/found?names=x&names=y").json() == ["x", "y"]
    client.close()


def test_names_are_quoted_in_paths():
    assert operation_of(PetService.get).url(GetPet("a/b c")) == "/api/v1/pets/a%2Fb%20c"


def test_a_refusal_comes_back_with_code_text_and_status(url):
    with pytest.raises(RemoteError, match="there is no pet 'snake'; list the pets") as caught:
        Client(url, ADA).call(PetService.get, GetPet("snake"))
    assert (caught.value.error_code, caught.value.remote_status, caught.value.field) == (
        "not_found",
        404,
        "name",
    )


def test_nobody_there_is_unavailable():
    with pytest.raises(UnavailableError, match="does not answer"):
        Client("http://127.0.0.1:1", ADA).call(PetService.get, GetPet("cat"))


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "says"),
    [
        ("GET", "/api/v1/pets/cat?legs=many", None, "invalid", "Expected `int"),
        ("GET", "/api/v1/pets/cat?wings=2", None, "invalid", "'wings' is not a parameter"),
        ("POST", "/api/v1/pets", b"{", "invalid", "not a JSON object"),
        ("POST", "/api/v1/pets", b"[1]", "invalid", "not a JSON object"),
        ("POST", "/api/v1/pets", b"\xff", "invalid", "not a JSON object"),
        ("POST", "/api/v1/pets", b'{"name": "cat"}', "invalid", "missing required field `legs`"),
        ("POST", "/api/v1/pets", b'{"name": 3, "legs": "x"}', "invalid", "Expected"),
    ],
)
def test_a_callers_mistake_is_a_400_that_says_what_is_wrong(door, method, path, body, code, says):
    answer = door.request(method, path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert says in answer.json()["error"]["message"]


def test_our_own_mistake_shows_nothing_of_the_inside(door):
    answer = door.get("/api/v1/pets/bug")
    assert answer.status_code == 500
    assert "unexpected mistake" not in answer.text


def test_openapi_tells_paths_queries_and_bodies_apart():
    document = openapi([PetService()], "1")
    get = document["paths"]["/api/v1/pets/{name}"]["get"]
    assert {item["name"]: item["in"] for item in get["parameters"]} == {
        "name": "path",
        "legs": "query",
        "tame": "query",
    }
    post = document["paths"]["/api/v1/pets"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["required"] == ["name", "legs"]
