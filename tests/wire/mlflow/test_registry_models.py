"""The real client against the registry: models, versions, aliases, tags, stages, search, prompts."""

from __future__ import annotations

import pytest

from holdfast.base.client import Client
from holdfast.base.context import local_context
from holdfast.registry.catalog.records import DeclineAliasRequest, ListAliasRequestsRequest
from holdfast.registry.catalog.service.aliases import AliasCatalog
from tests.real_mlflow import mlflow, use_server

MlflowClient, MlflowException = mlflow.MlflowClient, mlflow.MlflowException

pytestmark = pytest.mark.mlflow


@pytest.fixture
def client(registry_url):
    return MlflowClient(tracking_uri=registry_url, registry_uri=registry_url)


def version(client, name, source="models:/m-1", **fields):
    return client.create_model_version(name, source, await_creation_for=0, **fields)


def test_a_model_is_created_described_tagged_and_found_again(client):
    made = client.create_registered_model("bikes", tags={"team": "rides"}, description="hourly")
    assert (made.name, made.description, made.tags) == ("bikes", "hourly", {"team": "rides"})
    client.update_registered_model("bikes", "hourly demand")
    client.set_registered_model_tag("bikes", "tier", "1")
    client.delete_registered_model_tag("bikes", "team")
    client.delete_registered_model_tag("bikes", "never set")
    found = client.get_registered_model("bikes")
    assert (found.description, found.tags, found.latest_versions) == ("hourly demand", {"tier": "1"}, [])
    assert found.creation_timestamp == made.creation_timestamp <= found.last_updated_timestamp


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", "x" * 300])
def test_names_that_mlflow_refuses_are_refused(client, name):
    with pytest.raises(MlflowException) as refused:
        client.create_registered_model(name)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_second_model_of_a_name_and_unknown_ones_get_mlflows_codes(client):
    client.create_registered_model("bikes")
    with pytest.raises(MlflowException) as taken:
        client.create_registered_model("bikes")
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"
    for call in (
        lambda: client.get_registered_model("nope"),
        lambda: client.get_model_version("bikes", "7"),
        lambda: client.set_registered_model_alias("bikes", "best", "7"),
        lambda: version(client, "nope"),
        lambda: client.delete_registered_model("nope"),
    ):
        with pytest.raises(MlflowException) as unknown:
            call()
        assert unknown.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_versions_are_numbered_described_tagged_and_labelled(client):
    client.create_registered_model("bikes")
    first = version(client, "bikes", run_id="a" * 32, tags={"k": "v"}, description="one")
    second = version(client, "bikes")
    assert (first.version, second.version) in {(1, 2), ("1", "2")}
    assert (first.status, first.run_id, first.tags, first.description) == (
        "READY",
        "a" * 32,
        {"k": "v"},
        "one",
    )
    client.update_model_version("bikes", "1", "first")
    client.set_model_version_tag("bikes", "1", "checked", "yes")
    client.delete_model_version_tag("bikes", "1", "k")
    found = client.get_model_version("bikes", "1")
    assert (found.description, found.tags, found.current_stage) == ("first", {"checked": "yes"}, "None")
    assert client.get_model_version_download_uri("bikes", "1") == "models:/m-1"


def test_stages_are_labels_and_archive_the_others(client):
    client.create_registered_model("bikes")
    for _ in range(3):
        version(client, "bikes")
    client.transition_model_version_stage("bikes", "1", "production")
    moved = client.transition_model_version_stage("bikes", "2", "Production", archive_existing_versions=True)
    assert moved.current_stage == "Production"
    latest = {
        item.current_stage: int(item.version) for item in client.get_registered_model("bikes").latest_versions
    }
    assert latest == {"Archived": 1, "Production": 2, "None": 3}
    assert [int(item.version) for item in client.get_latest_versions("bikes", ["Production"])] == [2]
    with pytest.raises(MlflowException, match="not a stage"):
        client.transition_model_version_stage("bikes", "2", "Live")


def test_free_aliases_move_and_go(client):
    client.create_registered_model("bikes")
    version(client, "bikes")
    version(client, "bikes")
    client.set_registered_model_alias("bikes", "best", "1")
    client.set_registered_model_alias("bikes", "best", "2")
    client.set_registered_model_alias("bikes", "nightly", "2")
    assert int(client.get_model_version_by_alias("bikes", "best").version) == 2
    assert sorted(client.get_model_version("bikes", "2").aliases) == ["best", "nightly"]
    assert {k: int(v) for k, v in client.get_registered_model("bikes").aliases.items()} == {
        "best": 2,
        "nightly": 2,
    }
    client.delete_registered_model_alias("bikes", "best")
    client.delete_registered_model_alias("bikes", "best")
    with pytest.raises(MlflowException) as gone:
        client.get_model_version_by_alias("bikes", "best")
    assert gone.value.error_code == "INVALID_PARAMETER_VALUE"
    for reserved in ("latest", "v3", "a b", ""):
        with pytest.raises(MlflowException):
            client.set_registered_model_alias("bikes", reserved, "1")


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_champion_and_challenger_file_a_request_and_set_nothing(client, tracking_url, project, alias):
    own = Client(tracking_url, local_context(project))
    client.create_registered_model("bikes")
    version(client, "bikes")
    for _ in range(2):
        with pytest.raises(
            MlflowException, match=r"request \d+; deploy it with `holdfast deploy bikes"
        ) as gated:
            client.set_registered_model_alias("bikes", alias, "1")
        assert gated.value.error_code == "PERMISSION_DENIED"
    assert client.get_registered_model("bikes").aliases == {}
    (request,) = own.call(AliasCatalog.list_requests, ListAliasRequestsRequest("bikes")).requests
    assert (request.alias, request.version, request.state) == (alias, 1, "open")
    declined = own.call(AliasCatalog.decline, DeclineAliasRequest(request.number, "not tested"))
    assert (declined.state, declined.reason) == ("declined", "not tested")
    client.delete_registered_model_alias("bikes", alias)


def test_models_are_searched_and_paged(client):
    for number in range(5):
        client.create_registered_model(f"m{number}", tags={"parity": str(number % 2)})
    client.create_registered_model("Other thing")

    def names(text, **fields):
        return [item.name for item in client.search_registered_models(text, **fields)]

    assert names("name LIKE 'm%'") == ["m0", "m1", "m2", "m3", "m4"]
    assert names("name ILIKE 'M%' AND tags.parity = '1'") == ["m1", "m3"]
    assert names("name = 'm1' OR (name = 'm2' AND tags.`parity` != '1')") == ["m1", "m2"]
    assert names("name IN ('m4', 'Other thing')") == ["Other thing", "m4"]
    assert names("tags.parity = '0'", order_by=["name DESC"]) == ["m4", "m2", "m0"]
    page = client.search_registered_models(max_results=4)
    assert [item.name for item in page] == ["Other thing", "m0", "m1", "m2"]
    client.delete_registered_model("m0")
    rest = client.search_registered_models(max_results=4, page_token=page.token)
    assert [item.name for item in rest] == ["m3", "m4"]
    assert not rest.token
    for wrong in ("name", "name LIKE m", "colour = 'red'", "name = 'a' AND", "(name = 'a'"):
        with pytest.raises(MlflowException) as refused:
            names(wrong)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException):
        client.search_registered_models(page_token="nonsense")


def test_versions_are_searched_by_name_run_tag_and_number(client):
    for name in ("a", "b"):
        client.create_registered_model(name)
        for number in (1, 2, 3):
            version(client, name, run_id=f"{number:032x}", tags={"n": str(number)})

    def found(text, **fields):
        return [(item.name, int(item.version)) for item in client.search_model_versions(text, **fields)]

    assert sorted(found("name = 'a'")) == [("a", 1), ("a", 2), ("a", 3)]
    assert sorted(found(f"run_id = '{2:032x}'")) == [("a", 2), ("b", 2)]
    assert found(f"run_id IN ('{1:032x}', '{3:032x}') AND name = 'b'", order_by=["version_number ASC"]) == [
        ("b", 1),
        ("b", 3),
    ]
    assert found("tags.n = '3'", order_by=["name DESC"]) == [("b", 3), ("a", 3)]
    page = client.search_model_versions("name = 'a'", order_by=["version_number DESC"], max_results=2)
    assert [int(item.version) for item in page] == [3, 2]
    rest = client.search_model_versions(
        "name = 'a'", order_by=["version_number DESC"], max_results=2, page_token=page.token
    )
    assert [int(item.version) for item in rest] == [1]


def test_renames_and_deletes_keep_numbers_from_coming_back(client):
    client.create_registered_model("old")
    version(client, "old", run_id="a" * 32)
    version(client, "old")
    client.set_registered_model_alias("old", "best", "1")
    client.delete_model_version("old", "2")
    client.rename_registered_model("old", "new")
    assert int(client.get_model_version_by_alias("new", "best").version) == 1
    with pytest.raises(MlflowException):
        client.get_registered_model("old")
    assert int(version(client, "new").version) == 3
    client.delete_registered_model("new")
    assert client.search_model_versions("name = 'new'") == []
    client.create_registered_model("new")
    assert int(version(client, "new").version) == 4


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc/passwd", "models:/m-1/../../x"])
def test_sources_on_the_servers_disk_are_refused(client, source):
    client.create_registered_model("bikes")
    with pytest.raises(MlflowException) as refused:
        client._get_registry_client().store.create_model_version("bikes", source)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_prompts_are_models_with_tags(client, registry_url):
    use_server(registry_url)
    made = mlflow.genai.register_prompt("greeting", "Hello {{name}}!", commit_message="first")
    again = mlflow.genai.register_prompt("greeting", "Hi {{name}}!", tags={"tone": "short"})
    assert (made.version, again.version) == (1, 2)
    assert mlflow.genai.load_prompt("greeting", version=1).template == "Hello {{name}}!"
    mlflow.genai.set_prompt_alias("greeting", "champion", 2)
    assert mlflow.genai.load_prompt("prompts:/greeting@champion").format(name="Ada") == "Hi Ada!"
    assert [item.name for item in client.search_registered_models()] == []
    assert [item.name for item in client.search_prompts()] == ["greeting"]
