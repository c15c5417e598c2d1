"""The pages of one run: outcome, curves, artifacts that never become active content, delete and restore."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from holdfast.tracking.records import LoggedPoint
from holdfast.ui.runs.artifacts import image_type
from tests.ui import logged
from tests.ui.runs.conftest import Logged

DIVERGED = 11


def file_url(run_id: str, path: str, **query: str) -> str:
    more = "".join(f"&{key}={value}" for key, value in query.items())
    return f"/runs/{run_id}/file?path={path}{more}"


def test_a_run_of_a_client_shows_what_it_logged(home: Logged) -> None:
    page = home.page(f"/runs/{home.many}")
    for expected in (
        "resnet50-imagenet",
        "Second try with warm-up.",
        "layer00/weight_norm",
        "system/cpu_utilization_percentage",
        "fold-2",
        "imagenet",
        "param_19",
        "report.txt",
        "9f31c07be2a84d5590bd3ce1a1f0e6cc01d2aa97",
        f"holdfast runs show {home.many}",
    ):
        assert expected in page, expected
    child = home.client.get("/runs.json?filter=run_name='fold-1'").json()["runs"][0]["run_id"]
    assert f'<a href="/runs/{home.many}">resnet50-imagenet</a>' in home.page(f"/runs/{child}")


def test_the_data_of_a_run_say_what_the_command_says(home: Logged) -> None:
    data = home.client.get(f"/runs/{home.many}.json").json()
    described = home.client.get(f"/runs/{home.many}.json").json()["described"]
    assert described["run"]["run_id"] == home.many
    assert described["artifact_count"] == 5
    assert len(data["curves"]) == 100
    assert {curve["key"].partition("/")[0] for curve in data["system"]} == {"system"}
    diverged = home.client.get(f"/runs/{home.trials[DIVERGED]}.json").json()
    assert diverged["described"]["run"]["metrics"]["loss"] == "NaN", "JSON has no NaN"


def test_curves_are_a_grid_that_the_url_searches_pages_and_draws(home: Logged) -> None:
    base = f"/runs/{home.many}/curves"
    first = home.page(base)
    assert first.count("<figure") == 24
    assert "1–24 of 100" in first
    assert home.page(f"{base}?page=5").count("<figure") == 4
    assert home.page(f"{base}?page=99999").count("<figure") == 4
    assert home.page(f"{base}?q=layer07").count("<figure") == 1
    assert "No curve has “zebra” in its name" in home.page(f"{base}?q=zebra")
    assert first.count("logarithmic axis") == 0
    assert home.page(f"{base}?scale=log").count("logarithmic axis") == 24
    by_time = home.page(f"{base}?x=time&q=layer07")
    assert '<span class="chart-unit">UTC' in by_time
    assert home.page(f"/runs/{home.many}/system").count("<figure") == 3


def test_the_large_chart_says_what_it_cannot_draw_and_lists_every_point(home: Logged) -> None:
    page = home.page(f"/runs/{home.trials[DIVERGED]}/curves?metric=loss")
    assert "14 values NaN or ∞, drawn as a gap" in page
    assert page.count(">NaN</td>") == 14
    assert home.page(f"/runs/{home.many}/curves?metric=layer01/grad norm")
    answer = home.client.get(f"/runs/{home.many}/curves?metric=<script>alert(1)</script>")
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert home.client.get(f"/runs/{home.many}/curves?metric=layer01/grad norm&page=junk").status_code == 400


def test_a_long_curve_is_thinned_and_its_points_come_in_pages(home: Logged) -> None:
    runs = home.world.services.logged_runs
    run = runs.create(logged.KIM, "0", name="long")
    for start in range(0, 6000, 1000):
        points = [LoggedPoint("long", float(step % 7), step, step) for step in range(start, start + 1000)]
        runs.log_batch(logged.KIM, run.run_id, points)
    page = home.page(f"/runs/{run.run_id}/curves?metric=long")
    assert len(page) < 150_000
    url = unescape(re.findall(r'rel="next" href="([^"]*)"', page)[0])
    assert ">100</td>" in home.page(url)
    assert "First points" in home.page(url)


def test_artifacts_are_folders_with_previews(home: Logged) -> None:
    base = f"/runs/{home.many}/artifacts"
    root = home.page(base)
    assert root.index("config/") < root.index("report.txt")
    assert "settings.json" in home.page(f"{base}?path=config")
    assert "&#34;name&#34;: &#34;adam&#34;" in home.page(f"{base}?path=config/settings.json")
    assert "epoch,loss" in home.page(f"{base}?path=report.txt")
    picture = home.page(f"{base}?path=plots/confusion_matrix.png")
    source = unescape(re.findall(r'<img class="preview" src="([^"]*)"', picture)[0])
    answer = home.client.get(source)
    assert (answer.headers["content-type"], answer.content) == ("image/png", logged.png())
    assert "no preview" in home.page(f"{base}?path=model/weights.bin")
    downloaded = home.client.get(file_url(home.many, "model/weights.bin"))
    assert downloaded.headers["content-disposition"] == "attachment; filename*=UTF-8''weights.bin"
    assert downloaded.content == bytes(range(256)) * 40


def test_the_files_of_a_logged_model_are_browsed_from_its_run(home: Logged) -> None:
    url = unescape(re.findall(r'<a href="([^"]*)">resnet</a>', home.page(f"/runs/{home.many}"))[0])
    assert "MLmodel" in home.page(url)
    folder = home.page(f"{url}&path=example")
    assert "input.png" in folder
    picture = home.page(f"{url}&path=example/input.png")
    source = unescape(re.findall(r'<img class="preview" src="([^"]*)"', picture)[0])
    assert home.client.get(source).content == logged.png(20, 10)
    assert home.client.get(url.replace(home.many, home.hostile)).status_code == 404, "it is another run's"
    assert home.client.get(f"/runs/{home.many}/artifacts?model=m-nothing").status_code == 404
    assert home.client.get(f"{url}&path=../../secret").status_code == 400


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "picture.png"])
@pytest.mark.parametrize("shown", ["", "yes"])
def test_nothing_a_run_logged_can_run_in_our_name(home: Logged, name: str, shown: str) -> None:
    answer = home.client.get(file_url(home.hostile, name, shown=shown))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    page = home.page(f"/runs/{home.hostile}/artifacts?path={name}")
    assert "<img class" not in page
    assert "<script>alert" not in page


def test_an_image_is_what_its_bytes_are(tmp_path: Path) -> None:
    kinds = {
        b"\x89PNG\r\n\x1a\n": "image/png",
        b"\xff\xd8\xff\xe0": "image/jpeg",
        b"GIF89a": "image/gif",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ": "image/webp",
        b"RIFF\x00\x00\x00\x00AVI ": None,
        b"<svg xmlns=''>": None,
        b"": None,
    }
    for place, (start, kind) in enumerate(kinds.items()):
        file = tmp_path / str(place)
        file.write_bytes(start)
        assert image_type(file) == kind, start


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "..%2f..", "a\\..\\b", "%00", "nothing", ""]
)
def test_paths_lead_nowhere_else(home: Logged, path: str) -> None:
    for url in (file_url(home.many, path), f"/runs/{home.many}/artifacts?path={path}"):
        answer = home.client.get(url)
        expected = (200,) if path == "" and "artifacts" in url else (400, 404)
        assert answer.status_code in expected, (url, answer.text)


def test_hostile_words_of_a_run_are_shown_and_not_run(home: Logged) -> None:
    for path in ("", "/curves", "/curves?metric=loss", "/artifacts"):
        page = home.page(f"/runs/{home.hostile}{path}")
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in home.page(f"/runs/{home.hostile}")


def test_deleting_and_restoring_work_without_script(home: Logged) -> None:
    run_id = home.trials[3]
    deleted = home.client.post(f"/runs/{run_id}/delete")
    assert deleted.status_code == 303
    page = home.page(deleted.headers["location"])
    assert "This run is deleted" in page
    assert f'action="/runs/{run_id}/restore"' in page
    restored = home.client.post(f"/runs/{run_id}/restore")
    assert "The run is restored" in home.page(restored.headers["location"])
    assert "The run is restored" not in home.page(f"/runs/{home.trials[4]}?changed=forged")
    assert home.client.post("/runs/no-such-run/delete").status_code == 404


def test_a_run_that_is_not_there_is_a_page(home: Logged) -> None:
    for path in ("/runs/abc", f"/runs/{'0' * 32}", f"/runs/{'0' * 32}/curves", f"/runs/{'0' * 32}/artifacts"):
        answer = home.client.get(path)
        assert answer.status_code == 404, path
        assert "Not here" in answer.text
