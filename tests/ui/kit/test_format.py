import pytest

from holdfast.ui.kit import format as fmt

_HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (12, "12"),
        (1_234_567, "1,234,567"),
        (-5, "−5"),
        (41.16, "41.2"),
        (999.96, "1,000"),
        (0.99996, "1.00"),
        (1234.567, "1,235"),
        (0.0123456, "0.0123"),
        (3.2e-7, "3.20×10⁻⁷"),
        (float("nan"), "NaN"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_keep_three_significant_digits(value: float | None, written: str) -> None:
    assert fmt.number(value) == written


@pytest.mark.parametrize(
    ("duration_us", "written"),
    [
        (0, "0 s"),
        (850, "850 µs"),
        (12_300, "12.3 ms"),
        (999_700, "1 s"),
        (4_210_000, "4.21 s"),
        (200_000_000, "3 min 20 s"),
        (_HOUR_US, "1 h"),
        (76 * _HOUR_US, "3 d 4 h"),
        (-2 * _HOUR_US, "−2 h"),
        (None, "–"),
    ],
)
def test_durations_take_their_two_largest_units(duration_us: int | None, written: str) -> None:
    assert fmt.duration(duration_us) == written


@pytest.mark.parametrize(
    ("at", "written"),
    [
        (100 * _HOUR_US, "just now"),
        (100 * _HOUR_US - 30_000_000, "30 s ago"),
        (97 * _HOUR_US, "3 h ago"),
        (102 * _HOUR_US, "in 2 h"),
        (100 * _HOUR_US - 70 * 24 * _HOUR_US, "27 Oct 1969"),
        (None, "–"),
    ],
)
def test_times_are_written_relative_to_the_given_now(at: int | None, written: str) -> None:
    assert fmt.relative_time(at, 100 * _HOUR_US) == written


def test_a_time_tag_says_the_exact_time_and_its_zone() -> None:
    tag = fmt.time_tag(1_331_269_500_000_000, 1_331_269_500_000_000 + _HOUR_US)
    assert 'datetime="2012-03-09T05:05:00Z"' in tag
    assert 'title="2012-03-09 05:05:00 UTC"' in tag
    assert ">1 h ago<" in tag


def test_a_time_beyond_every_calendar_is_clamped_not_an_error() -> None:
    assert fmt.absolute_time(10**30).startswith("9999-12-31")


def test_sizes_percentages_and_prefixes() -> None:
    assert [fmt.size(n) for n in (512, 1536, 5 * 1024**3)] == ["512 B", "1.5 KiB", "5 GiB"]
    assert [fmt.percent(s) for s in (0.1234, 1.0, 0.0)] == ["12.3%", "100%", "0%"]
    assert [fmt.si(v) for v in (999, 999_999, 12_345)] == ["999", "1 M", "12.3 k"]


def test_an_id_is_shortened_but_copied_whole_and_escaped() -> None:
    shown = fmt.short_id('registry/<b>"0123456789abcdefghij')
    assert "<b>" not in shown
    assert 'data-copy="registry/&lt;b&gt;&#34;0123456789abcdefghij"' in shown
    assert "…" in shown


def test_a_code_block_copies_commands_without_their_prompt() -> None:
    block = fmt.code_block("$ holdfast train <x>\nplain")
    assert 'data-copy="holdfast train &lt;x&gt;\nplain"' in block
    assert '<span class="prompt">$ </span>holdfast train &lt;x&gt;' in block
