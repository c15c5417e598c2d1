"""Charts are well-formed, escaped, honest about gaps and axes, and their hover data match the drawing."""

import json
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ui.kit import charts
from holdfast.ui.kit.charts.decimate import thin, thin_band
from holdfast.ui.kit.charts.lineage import assign_layers
from holdfast.ui.kit.charts.scales import number_axis, time_axis, value_axis
from holdfast.ui.kit.format import utc

_DAY_US = 86_400_000_000
_NASTY = '<script>alert("x")</script>&\x00\ufffe'
_moderate = st.one_of(st.none(), st.just(math.nan), st.floats(-1e12, 1e12))


def _parse(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup))


def _with_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [node for node in root.iter() if name in (node.get("class") or "").split()]


def _line(*ys: float | None, **options: object) -> ElementTree.Element:
    xs = tuple(index * _DAY_US for index in range(len(ys)))
    return _parse(charts.line_chart([charts.Series("a", xs, ys)], title="t", **options))  # type: ignore[arg-type]


def _hover(root: ElementTree.Element) -> dict[str, list[object]]:
    return json.loads(_with_class(root, "chart-area")[0].get("data-chart") or "")  # type: ignore[no-any-return]


def test_a_missing_value_is_a_gap_never_a_bridge() -> None:
    root = _line(1.0, 2.0, None, 4.0, math.nan, 6.0, 7.0)
    path = _with_class(root, "line")[0].get("d") or ""
    assert path.count("M") == 2
    assert path.count("L") == 2
    assert len(_with_class(root, "point")) == 2, "the lone fourth point and the last one"
    assert _hover(root)["series"][0]["text"][2] is None  # type: ignore[index]


def test_nothing_but_missing_values_says_so_without_axes() -> None:
    root = _line(None, math.nan, empty="No labels have arrived.")
    assert "No labels have arrived." in "".join(root.itertext())
    assert not list(root.iter("svg"))


def test_an_axis_that_does_not_start_at_zero_says_so() -> None:
    assert "axis does not start at 0" in "".join(_line(0.95, 0.96).itertext())
    assert "axis does not start at 0" not in "".join(_line(0.1, 0.96).itertext())
    assert "axis does not start at 0" not in "".join(_line(0.95, 0.96, zero=True).itertext())


def test_rounding_noise_does_not_fill_the_axis() -> None:
    scale, _ = value_axis([100.0, 100.0001])
    assert scale.high - scale.low >= 2


def test_everything_a_caller_names_is_escaped_in_every_chart() -> None:
    drawn = [
        charts.line_chart(
            [charts.Series(_NASTY, (0, _DAY_US), (1, 2))],
            title=_NASTY,
            y_label=_NASTY,
            bands=[charts.Band(_NASTY, (0, _DAY_US), (0, 1), (2, 3))],
            events=[charts.EventMark(5, _NASTY)],
            threshold=charts.Threshold(2, _NASTY),
            gaps=[charts.Gap(0, _DAY_US, _NASTY)],
        ),
        charts.bar_chart(
            [charts.Bar(_NASTY, 1, url=_NASTY)], title=_NASTY, threshold=charts.Threshold(2, _NASTY)
        ),
        charts.histogram_pair([1], [2], labels=[_NASTY], title=_NASTY, names=(_NASTY, _NASTY)),
        charts.interval_plot(
            [charts.Interval(_NASTY, 1, 0, 2, note=_NASTY)], title=_NASTY, directions=(_NASTY, _NASTY)
        ),
        charts.lineage_graph([charts.Node(_NASTY, _NASTY, _NASTY, _NASTY, _NASTY)], [], title=_NASTY),
        charts.sparkline([1, 2], title=_NASTY),
    ]
    for one in drawn:
        root = _parse(one)
        assert not list(root.iter("script"))
        assert " style=" not in one
        assert "alert" in "".join(root.itertext())


def test_each_picture_has_a_title_and_a_description_with_the_numbers() -> None:
    svg = next(_line(41.0, 45.5).iter("svg"))
    title, description = svg.find("title"), svg.find("desc")
    assert title is not None
    assert description is not None
    assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "45.5" in (description.text or "")


def test_hover_data_lie_where_the_line_is_drawn() -> None:
    root = _line(0.0, 5.0, 10.0, height=100)
    series = _hover(root)["series"][0]
    path = _with_class(root, "line")[0].get("d") or ""
    heights = [float(point.split(" ")[1]) for point in re.split("[ML]", path)[1:]]
    assert heights == pytest.approx([y * 100 for y in series["y"]], abs=0.05)  # type: ignore[index]
    assert _hover(root)["labels"] == [
        f"1970-01-0{day} 00:00:00 UTC".replace(":00 UTC", " UTC") for day in (1, 2, 3)
    ]


def test_lines_with_different_times_share_one_readout() -> None:
    root = _parse(
        charts.line_chart(
            [charts.Series("a", (0, 2), (1, 2)), charts.Series("b", (1, 2), (3, 4))],
            title="t",
            x_is_time=False,
        )
    )
    assert [one["text"] for one in _hover(root)["series"]] == [["1", None, "2"], [None, "3", "4"]]  # type: ignore[index]


def test_events_outside_the_data_are_left_out_and_the_others_listed() -> None:
    marks = [charts.EventMark(_DAY_US, "retrained"), charts.EventMark(9 * _DAY_US, "later")]
    root = _line(1.0, 2.0, 3.0, events=marks)
    text = "".join(root.itertext())
    assert "later" not in text
    assert "retrained 1970-01-02 00:00 UTC" in text
    assert _hover(root)["notes"] == {"1": "retrained"}


@settings(max_examples=60)
@given(st.lists(_moderate, max_size=30), st.booleans())
def test_any_values_give_well_formed_pictures_inside_the_plot(ys: list[float | None], is_time: bool) -> None:
    xs = tuple(float(index * 1000) for index in range(len(ys)))
    root = _parse(
        charts.line_chart([charts.Series("a", xs, tuple(ys))], title="t", x_is_time=is_time, height=100)
    )
    for path in _with_class(root, "line"):
        heights = [float(point.split(" ")[1]) for point in re.split("[ML]", path.get("d") or "")[1:]]
        assert all(0 <= height <= 100 for height in heights)
    _parse(charts.sparkline(ys))
    _parse(charts.bar_chart([charts.Bar("x", y) for y in ys], title="t"))
    _parse(charts.interval_plot([charts.Interval("x", y, y, y) for y in ys], title="t"))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_value_ticks_are_few_even_and_hold_the_data(low: float, span: float) -> None:
    scale, ticks = value_axis([low, low + span])
    rounding = 1e-6 * (scale.high - scale.low)
    assert scale.low <= low + rounding
    assert scale.high >= low + span - rounding
    assert 2 <= len(ticks) <= 9
    labels = [tick.label for tick in ticks]
    assert len(set(labels)) == len(labels)


@settings(max_examples=200)
@given(st.integers(-2 * 10**15, 4 * 10**15), st.integers(1_000_000, 10**16))
def test_time_ticks_are_few_ascending_and_inside(low_at: int, span_us: int) -> None:
    _, ticks = time_axis(low_at, low_at + span_us)
    values = [tick.value for tick in ticks]
    assert len(ticks) <= 9
    assert values == sorted(set(values))
    assert all(low_at <= value <= low_at + span_us for value in values)


def test_time_ticks_fall_on_the_calendar() -> None:
    start = 1_325_376_000_000_000  # 1 January 2012
    months = time_axis(start, start + 200 * _DAY_US)[1]
    assert [tick.label for tick in months] == ["2012", "Feb", "Mar", "Apr", "May", "Jun", "Jul"]
    weeks = time_axis(start, start + 45 * _DAY_US)[1]
    assert {utc(int(tick.value)).weekday() for tick in weeks} == {0}
    hours = time_axis(start, start + _DAY_US)[1]
    assert [tick.label for tick in hours][:3] == ["1 Jan 2012", "06:00", "12:00"]


def test_number_ticks_stay_inside_the_data() -> None:
    assert [tick.label for tick in number_axis(0.5, 4.5)[1]] == ["1", "2", "3", "4"]


def test_thinning_keeps_the_spike_the_gap_and_the_ends() -> None:
    ys: list[float | None] = [0.0] * 50_000
    ys[31_234], ys[40_000] = 9.0, None
    thinned = thin(charts.Series("a", tuple(range(50_000)), tuple(ys)))
    assert len(thinned.xs) <= 1000
    assert 31_234 in thinned.xs
    assert None in thinned.ys
    assert (thinned.xs[0], thinned.xs[-1]) == (0, 49_999)
    band = thin_band(charts.Band("b", tuple(range(5000)), tuple(map(float, range(5000))), (None,) * 5000))
    assert band.lower[0] == 0.0
    assert set(band.upper) == {None}


def test_unequal_lengths_and_unordered_xs_are_refused() -> None:
    with pytest.raises(ValueError, match="2 xs but 1 ys"):
        charts.Series("a", (0, 1), (1,))
    with pytest.raises(ValueError, match="must ascend"):
        charts.Series("a", (1, 0), (1, 2))
    with pytest.raises(ValueError, match="one edge more"):
        charts.histogram_pair([1, 2], [1, 2], edges=[0, 1], title="t")


def test_bars_start_at_zero_and_keep_their_proportions() -> None:
    root = _parse(
        charts.bar_chart([charts.Bar("a", 90), charts.Bar("b", 100), charts.Bar("c", None)], title="t")
    )
    bars = [float((bar.get("width") or "").rstrip("%")) for bar in _with_class(root, "bar")]
    assert bars[0] / bars[1] == pytest.approx(0.9, abs=0.001)
    assert len(bars) == 2


def test_a_histogram_compares_shares_not_counts_and_names_unequal_bins() -> None:
    root = _parse(
        charts.histogram_pair(
            [10, 30], [1000, 3000], edges=[-math.inf, 0, 5], title="t", names=("then", "now")
        )
    )
    then, now = _hover(root)["series"]
    assert then["text"] == now["text"] == ["25%", "75%"]  # type: ignore[index]
    assert "bins differ in width" in "".join(root.itertext())
    assert _hover(root)["labels"][0] == "−∞ to 0"


def test_open_intervals_and_missing_estimates_are_drawn_as_such() -> None:
    root = _parse(
        charts.interval_plot(
            [charts.Interval("open", 1, -math.inf, 2), charts.Interval("none", None, None, None)], title="t"
        )
    )
    assert len(_with_class(root, "open")) == 1
    assert len(_with_class(root, "interval-dot")) == 1
    assert "not measured" in "".join(root.itertext())


def test_lineage_layers_follow_the_longest_way_and_survive_cycles() -> None:
    layers = assign_layers(["c", "b", "a"], [("a", "b"), ("b", "c"), ("a", "c")])
    assert layers == {"a": 0, "b": 1, "c": 2}
    assert set(assign_layers(["a", "b"], [("a", "b"), ("b", "a")])) == {"a", "b"}
    deep = [(str(index), str(index + 1)) for index in range(5000)]
    assert assign_layers([str(index) for index in range(5001)], deep)["5000"] == 5000


def test_lineage_nodes_are_links_that_do_not_overlap() -> None:
    nodes = [charts.Node(str(index), "run", f"r{index}", url=f"/r/{index}") for index in range(12)]
    edges = [charts.Edge(str(index), str(index + 4)) for index in range(8)] + [charts.Edge("0", "11")]
    root = _parse(charts.lineage_graph(nodes, [*edges, charts.Edge("0", "unknown")]))
    boxes = [(float(box.get("x") or 0), float(box.get("y") or 0)) for box in _with_class(root, "node-box")]
    assert {link.get("href") for link in root.iter("a")} == {f"/r/{index}" for index in range(12)}
    for index, (x, y) in enumerate(boxes):
        assert all(x != other_x or abs(y - other_y) >= 46 for other_x, other_y in boxes[index + 1 :])
    assert len(_with_class(root, "edge")) == 9


def test_a_sparkline_has_its_numbers_in_words() -> None:
    assert "from 1.00 to 3.00" in charts.sparkline([1.0, None, 3.0])
    assert "no values" in charts.sparkline([None, math.nan])
