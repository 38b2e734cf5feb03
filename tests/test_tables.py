"""Tables of Markdown, in every report."""

from gannet.evaluating.report import Report
from gannet.evaluation.protocol import Score
from gannet.tables import table


def test_a_bar_does_not_end_a_cell() -> None:
    assert table(["a"], [["one|two"]]) == "| a |\n| --- |\n| one\\|two |"
    report = Report("runs/a", "b", (Score("KID (a|b)", 1.0, 1.0, 1.0, "lower", {"seed": 0}),))
    assert "| KID (a\\|b) | 1 |" in str(report)
