"""Charts as SVG drawn on the server: pure functions from small records to Markup.

Coordinates across are percentages of the plot and those down are pixels, so a chart fills any width without
scaling its text. Missing and non-finite values are gaps. Axes of bars start at zero; a line's axis that does
not start at zero says so. What the hover readout shows travels as formatted text in `data-chart`.
"""

from holdfast.ui.kit.charts.bars import bar_chart, histogram_pair
from holdfast.ui.kit.charts.interval import interval_plot
from holdfast.ui.kit.charts.line import line_chart, line_swatch, look
from holdfast.ui.kit.charts.lineage import lineage_graph
from holdfast.ui.kit.charts.scatter import Dot, scatter_plot
from holdfast.ui.kit.charts.sparkline import sparkline
from holdfast.ui.kit.charts.types import (
    Band,
    Bar,
    Edge,
    EventMark,
    Gap,
    Interval,
    Look,
    Node,
    Series,
    Threshold,
)

__all__ = [
    "Band",
    "Bar",
    "Dot",
    "Edge",
    "EventMark",
    "Gap",
    "Interval",
    "Look",
    "Node",
    "Series",
    "Threshold",
    "bar_chart",
    "histogram_pair",
    "interval_plot",
    "line_chart",
    "line_swatch",
    "lineage_graph",
    "look",
    "scatter_plot",
    "sparkline",
]
