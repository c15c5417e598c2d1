"""`/-/patterns`: every component of the kit with realistic sample data.

The page is the reference for whoever builds a page and the fixture of the browser tests. Its data are made
from a fixed seed and the given time, so that two renderings at one time are the same bytes.
"""

import random
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from holdfast.ui.kit import charts
from holdfast.ui.kit.badges import VOCABULARY, badge
from holdfast.ui.kit.format import code_block, duration, number, percent, short_id, si, size, time_tag
from holdfast.ui.kit.page import Crumb, Page, PageRenderer, Site, Tab
from holdfast.ui.kit.parts import Choices, Event, Fact, QueryBox, Tile
from holdfast.ui.kit.table import Selecting, Sorting, render_table, table
from holdfast.ui.kit.table_query import Choice, Column, Row

PATTERNS_URL = "/-/patterns"
SAMPLE_NOW_AT = 1_331_269_500_000_000
"""9 March 2012, 05:05 UTC: a Friday in the bike rentals' second spring."""

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_TAB_TITLES = ("Overview", "Models", "Deployments", "Runs", "Alerts", "Decisions", "Patterns")


def patterns_page(
    now_at: int = SAMPLE_NOW_AT, query: Mapping[str, str] | None = None, refresh_s: float = 0.0
) -> str:
    """Return the HTML of the patterns page; `query` drives its sample table like on a real page."""
    counts = {"Alerts": 2}
    tabs = tuple(
        Tab(title, PATTERNS_URL if title == "Patterns" else f"/{title.lower()}", counts.get(title, 0))
        for title in _TAB_TITLES
    )
    site = Site(tabs=tabs, environment="production", version="0.1.0", clock_simulated=True)
    page = Page(
        title="bike-demand", kind="Patterns", tab="Patterns", now_at=now_at, status="live",
        subtitle="Every component of the page kit, with sample data. Hourly demand for rental bikes.",
        urn="registry/bike-demand@3", command="holdfast status bike-demand", json_url=f"{PATTERNS_URL}.json",
        crumbs=(Crumb("Overview", "/"), Crumb("Models", "/models")), refresh_s=refresh_s,
    )  # fmt: skip
    return PageRenderer(site).render(
        "kit/patterns.html",
        page,
        tiles=_tiles(),
        events=_events(now_at),
        facts=_facts(now_at),
        vocabulary=[badge(word) for word in VOCABULARY],
        unknown=badge("some new word"),
        charts=_charts(now_at),
        runs=_runs_table(now_at, query or {}),
        no_runs=_empty_table(),
        formats=_formats(now_at),
        boxes=_boxes(),
        choices=_choices(),
        way=(Crumb("artifacts", "#"), Crumb("plots", "#plots"), Crumb("confusion_matrix.png", "#file")),
        chosen=_choosing_table(),
        views=(Tab("Summary", "#"), Tab("Versions", "#versions", 3), Tab("Lineage", "#lineage")),
    )


def _tiles() -> tuple[Tile, ...]:
    generator = random.Random(11)
    walk = [44.0]
    for _ in range(40):
        walk.append(walk[-1] + generator.gauss(0.05, 1.1))
    return (
        Tile("Live version", "3", "by the loop, 3 d ago"),
        Tile("MAE, last 7 days", "44.1", "12% better than version 2", "good", charts.sparkline(walk, title="MAE")),
        Tile("Predictions", si(184_236), "all logged", "neutral", charts.sparkline(
            [generator.gauss(50, 9) for _ in range(30)], title="Predictions a day")),
        Tile("Drifting features", "2 of 14", "temp, windspeed", "warn", url="#drift"),
        Tile("Labels joined", percent(0.9983), "19 late by more than 1 h"),
    )  # fmt: skip


def _facts(now_at: int) -> tuple[Fact, ...]:
    return (
        Fact("Training data", Markup("{} 6,502 rows").format(short_id("data/rides@1"))),
        Fact("Features", "demand_history@2, calendar@1", url="#features"),
        Fact("Code", short_id("source/9f31c07be2a84d5590bd3ce1")),
        Fact("Environment", "Python 3.11.9, scikit-learn 1.9.0, linux x86_64"),
        Fact("Trained", time_tag(now_at - 3 * _DAY_US, now_at)),
        Fact("Promoted by", "the loop, rule shadow-then-switch", hint="who or what made it live"),
    )


def _events(now_at: int) -> tuple[Event, ...]:
    return (
        Event(
            at=now_at - 2 * _HOUR_US, title="Rolled back to version 3", who="mara", by="person",
            status="rolled back", summary="Version 4 answered too high at night.",
            evidence=(Fact("took", "38 ms"), Fact("failed requests", "0"), Fact("quarantined", "version 4")),
            reversal="holdfast resume bike-demand",
        ),
        Event(
            at=now_at - 3 * _DAY_US, title="Version 4 promoted", who="loop", status="promoted",
            summary="Seven days in shadow; better on every day.", url="#decision",
            rule="MAE no worse than production by 2%, 95% interval, at least 1,000 labels",
            evidence=(Fact("MAE difference", "−5.9 (−7.3 to −4.4)"), Fact("labels", "4,031"),
                      Fact("p99 latency", "2.1 ms against 2.3 ms")),
            reversal="holdfast rollback bike-demand",
        ),
        Event(
            at=now_at - 10 * _DAY_US, title="Retraining started", who="loop", status="succeeded",
            summary="Drift in temp and windspeed, and MAE above its limit for two days.",
        ),
        Event(
            at=now_at - 11 * _DAY_US, title="Alert: temp and windspeed drift", who="loop", status="open",
            rule="distance above the reference's own 99.5% and above 0.1; false discovery rate 5%",
            evidence=(Fact("temp", "0.31"), Fact("windspeed", "0.18"), Fact("rows", "1,680")),
        ),
        Event(at=now_at - 40 * _DAY_US, title="Version 3 approved", who="jonas", by="person", status="approved"),
    )  # fmt: skip


def _quality(now_at: int) -> Markup:
    """Ninety days of a model that drifts, is retrained and recovers, beside the one that never was."""
    generator = random.Random(3)
    days = [now_at // _DAY_US * _DAY_US - (90 - index) * _DAY_US for index in range(90)]
    loop: list[float | None] = []
    never: list[float | None] = []
    lower: list[float | None] = []
    upper: list[float | None] = []
    for index in range(90):
        drift = max(0.0, (index - 25) * 0.9)
        never.append(46 + drift + generator.gauss(0, 2))
        own = 46 + (drift if index < 46 else max(0.0, 4 - (index - 46) * 0.2)) + generator.gauss(0, 2)
        loop.append(None if 58 <= index < 70 else own)
        lower.append(None if 58 <= index < 70 else own - 5)
        upper.append(None if 58 <= index < 70 else own + 5)
    return charts.line_chart(
        [
            charts.Series("with holdfast", tuple(days), tuple(loop)),
            charts.Series("never retrained", tuple(days), tuple(never), stroke="dashed", colour=0),
        ],
        title="Quality over time",
        y_label="mean absolute error, bikes an hour",
        bands=[charts.Band("95% interval", tuple(days), tuple(lower), tuple(upper))],
        events=[
            charts.EventMark(days[38], "drift: temp, windspeed", "warn"),
            charts.EventMark(days[40], "retrained", "info"),
            charts.EventMark(days[46], "version 3 promoted", "good"),
            charts.EventMark(days[84], "rolled back to 3", "bad"),
        ],
        threshold=charts.Threshold(75, "limit 75"),
        gaps=[charts.Gap(days[57], days[70], "no labels")],
    )


def _latency(now_at: int) -> Markup:
    generator = random.Random(5)
    times = [now_at - (180 - minute) * 60_000_000 for minute in range(180)]
    slow = [2.2 + generator.gammavariate(2, 0.12) + (1.8 if 90 < m < 104 else 0) for m in range(180)]
    fast = [0.6 + generator.gammavariate(2, 0.03) for _ in range(180)]
    middle = [1.3 + generator.gammavariate(2, 0.06) for _ in range(180)]
    return charts.line_chart(
        [
            charts.Series("p99", tuple(times), tuple(slow)),
            charts.Series("p90", tuple(times), tuple(middle)),
            charts.Series("p50", tuple(times), tuple(fast)),
        ],
        title="Latency",
        y_label="ms",
        height=170,
    )


def _truncated(now_at: int) -> Markup:
    generator = random.Random(8)
    times = [now_at - (48 - hour) * _HOUR_US for hour in range(48)]
    return charts.line_chart(
        [charts.Series("AUC", tuple(times), tuple(0.952 + generator.gauss(0, 0.004) for _ in times))],
        title="A line far from zero",
        y_label="AUC",
        height=170,
    )


def _lineage() -> Markup:
    nodes = [
        charts.Node("source", "source", "hour.csv", url="#source"),
        charts.Node("rides", "dataset", "rides", "1", url="#rides", status="ok"),
        charts.Node("labels", "labels", "rides", "2012-03", url="#labels"),
        charts.Node("history", "features", "demand_history", "2", url="#features"),
        charts.Node("code", "code", "bikes.py", "9f31c07", url="#code"),
        charts.Node("run", "run", "train-0148", url="#run", status="succeeded"),
        charts.Node("v3", "version", "bike-demand", "3", url="#v3", status="live", current=True),
        charts.Node("deployment", "deployment", "bike-demand", "7", url="#deployment", status="live"),
        charts.Node("v4", "version", "bike-demand", "4", url="#v4", status="quarantined"),
    ]
    pairs = (
        ("source", "rides"), ("rides", "history"), ("rides", "run"), ("labels", "run"), ("history", "run"),
        ("code", "run"), ("run", "v3"), ("v3", "deployment"), ("run", "v4"),
    )  # fmt: skip
    return charts.lineage_graph(nodes, [charts.Edge(*pair) for pair in pairs])


def _trials() -> list[charts.Series]:
    """The losses of eight runs, more than there are colours."""
    generator = random.Random(4)
    return [
        charts.Series(
            f"trial-{number:03d}",
            tuple(float(step) for step in range(60)),
            tuple(2.0 * 0.97**step * (1 + number / 12) + abs(generator.gauss(0, 0.01)) for step in range(60)),
        )
        for number in range(8)
    ]


def _small(number: int, log: bool = False) -> Markup:
    one = _trials()[number]
    return charts.line_chart(
        [one],
        title=f"metric_{number}",
        y_label="by step",
        x_is_time=False,
        height=110,
        log=log,
        url=f"#{number}",
    )


def _scatter(log: bool) -> Markup:
    generator = random.Random(9)
    if not log:
        words = ("adam", "lion", "sgd")
        dots = [charts.Dot(f"trial-{n}", float(n % 3), generator.gauss(0.3, 0.05)) for n in range(24)]
        return charts.scatter_plot(
            dots, title="loss by optimizer", x_label="optimizer", y_label="loss", categories=words
        )
    rates = [10 ** generator.uniform(-4, -1) for _ in range(40)]
    dots = [
        charts.Dot(
            f"trial-{n}", rate, 0.2 + abs(rate - 0.01) ** 0.5 + generator.gauss(0, 0.02), f"#trial-{n}"
        )
        for n, rate in enumerate(rates)
    ]
    return charts.scatter_plot(
        dots, title="loss by learning_rate", x_label="learning_rate, logarithmic", y_label="loss", log_x=True
    )


def _charts(now_at: int) -> dict[str, Any]:
    return {
        "trials": charts.line_chart(
            _trials(), title="Eight runs", y_label="loss by step", x_is_time=False, log=True
        ),
        "multiples": [_small(number, log=number == 2) for number in range(3)],
        "scatter": _scatter(log=True),
        "categories_scatter": _scatter(log=False),
        "quality": _quality(now_at),
        "latency": _latency(now_at),
        "truncated": _truncated(now_at),
        "nothing": charts.line_chart([], title="Estimated accuracy", empty="No labels have arrived yet."),
        "drift": charts.bar_chart(
            [
                charts.Bar("temp", 0.31, "warn", "#temp"),
                charts.Bar("windspeed", 0.18, "warn", "#windspeed"),
                charts.Bar("demand_one_week_before_mean", 0.07),
                charts.Bar("hum", 0.041),
                charts.Bar("workingday", 0.0),
                charts.Bar("weathersit", None),
            ],
            title="Drift by feature",
            unit="distance from training",
            threshold=charts.Threshold(0.1, "limit 0.1"),
        ),
        "histogram": charts.histogram_pair(
            [12, 80, 210, 420, 610, 540, 300, 120, 40, 6],
            [0, 4, 20, 60, 130, 220, 260, 190, 90, 30],
            edges=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            title="temp",
            unit="normalised °C",
        ),
        "categories": charts.histogram_pair(
            [4100, 1700, 690, 3],
            [820, 410, 240, 1],
            labels=["clear", "mist", "light rain", "heavy rain"],
            title="weathersit",
        ),
        "intervals": charts.interval_plot(
            [
                charts.Interval("all rows", -5.9, -7.3, -4.4, "good"),
                charts.Interval("working days", -6.8, -8.9, -4.6, "good"),
                charts.Interval("weekends", -1.2, -4.0, 1.7, "neutral"),
                charts.Interval("night, 0–5 h", 3.9, 1.4, 6.3, "bad"),
                charts.Interval("heavy rain", None, None, None, note="insufficient data"),
            ],
            title="Version 4 against version 3",
            unit="difference in MAE, 95% interval",
            margin=charts.Threshold(1.0, "margin +1"),
            directions=("better", "worse"),
        ),
        "lineage": _lineage(),
    }


def _runs(now_at: int) -> list[Row]:
    generator = random.Random(21)
    rows = []
    for index in range(64):
        state = generator.choice(["succeeded"] * 7 + ["failed", "running", "held"])
        digest = f"{generator.getrandbits(64):016x}"
        cells = {
            "run": f"train-{148 - index:04d}", "model": generator.choice(["bike-demand", "card-fraud", "churn"]),
            "status": state, "error": None if state != "succeeded" else generator.uniform(41, 63),
            "rows": generator.randrange(4_000, 90_000), "took": generator.randrange(800_000, 90_000_000),
            "started": now_at - index * 7 * _HOUR_US, "id": f"tracking/{digest}",
        }  # fmt: skip
        rows.append(Row(cells, url=f"{PATTERNS_URL}#run-{148 - index}", key=digest))
    return rows


def _runs_table(now_at: int, query: Mapping[str, str]) -> Markup:
    columns = (
        Column("run", "Run"),
        Column("model", "Model"),
        Column("status", "Status", formatter=badge),
        Column("error", "MAE", align="right", formatter=number, hint="mean absolute error on the test rows"),
        Column("rows", "Rows", align="right"),
        Column("took", "Took", align="right", formatter=duration),
        Column("started", "Started", align="right", formatter=lambda at: time_tag(at, now_at)),
        Column("id", "Id", sortable=False, formatter=short_id),
    )
    states = ("succeeded", "failed", "running", "held")
    return table(
        columns, _runs(now_at), query, path=PATTERNS_URL, name="runs", default_sort="-started", page_rows=8,
        choices=(Choice("status", "Status", states), Choice("model", "Model", ("bike-demand", "card-fraud"))),
        caption="Runs",
    )  # fmt: skip


def _empty_table() -> Markup:
    empty = Markup("<h3>No runs yet</h3><p>A run appears when a model is trained.</p>{}").format(
        code_block("$ holdfast train bikes.py")
    )
    return table((Column("run", "Run"),), (), empty=empty)


def _boxes() -> tuple[QueryBox, QueryBox]:
    """A filter that can be read, and one that cannot."""
    good = "metrics.loss < 0.3 AND params.optimizer = 'adam'"
    return QueryBox(good), QueryBox(
        "metrics.loss < low", "Invalid filter: expected a number for metrics.loss", "metrics.loss < ", "low"
    )


def _choices() -> tuple[Choices, ...]:
    def of(name: str, *titles: str) -> Choices:
        return Choices(name, tuple(Tab(title, f"#{title}") for title in titles), titles[0])

    return of("Across", "by step", "by time"), of("Values", "linear", "logarithmic")


def _choosing_table() -> Markup:
    """Rows to tick, headings that sort by a store's own words, differences and the best value."""
    differs = Markup('<span class="differs">≠ {}</span>').format("sgd")
    best = Markup('<strong>{}</strong> <span class="best">best</span>').format("0.198")
    columns = (
        Column("run", "Run"),
        Column("optimizer", "optimizer", sortable=False),
        Column("loss", "loss", align="right"),
    )
    rows = [
        Row({"run": "trial-014", "optimizer": "adam", "loss": 0.231}, "#14", "14"),
        Row({"run": "trial-015", "optimizer": differs, "loss": best}, "#15", "15"),
    ]
    sorting = {"run": Sorting("#run"), "loss": Sorting("#loss", "ascending")}
    return render_table(
        columns, rows, caption="Trials", sorting=sorting, selecting=Selecting("choose", "runs")
    )


def _formats(now_at: int) -> tuple[Fact, ...]:
    return (
        Fact("number", ", ".join(map(number, (1_234_567, 1234.567, 41.2, 0.0123, 3.2e-7, -5.9, None)))),
        Fact("si", ", ".join((si(12_345), si(48_000, "req/s"), si(1.2e9, "B")))),
        Fact("percent", ", ".join((percent(0.1234), percent(1.0), percent(0.00004)))),
        Fact("duration", ", ".join(map(duration, (850, 12_300, 4_210_000, 200_000_000, 273_600_000_000)))),
        Fact("size", ", ".join(map(size, (512, 1536, 5 * 1024**3)))),
        Fact("time", time_tag(now_at - 11 * 60_000_000, now_at)),
        Fact("id", short_id("prediction/p_01JB4Q7W2M9ZC8N5T3")),
    )
