"""What can go wrong, from cause to consequence: of two findings the first in the table leads.

A detector is a function of a `Log` that gives a `Sign`, or None where it sees nothing or its statistics are not
there.
"""

from gannet.parts import Table

DETECTORS = Table(
    "detector",
    ("data", "gannet.diagnosis.detectors.data:data"),
    ("bad-start", "gannet.diagnosis.detectors.start:bad_start"),
    ("settings", "gannet.diagnosis.detectors.settings:settings"),
    ("diverging", "gannet.diagnosis.detectors.diverging:diverging"),
    ("not-learning", "gannet.diagnosis.detectors.learning:not_learning"),
    ("d-memorises", "gannet.diagnosis.detectors.memory:d_memorises"),
    ("d-wins", "gannet.diagnosis.detectors.lead:d_wins"),
    ("g-wins", "gannet.diagnosis.detectors.lead:g_wins"),
    ("d-asleep", "gannet.diagnosis.detectors.asleep:d_asleep"),
    ("labels-ignored", "gannet.diagnosis.detectors.labels:labels_ignored"),
    ("oscillation", "gannet.diagnosis.detectors.oscillation:oscillation"),
    ("mode-collapse", "gannet.diagnosis.detectors.collapse:mode_collapse"),
    ("copying", "gannet.diagnosis.detectors.copying:copying"),
    ("past-best", "gannet.diagnosis.detectors.past_best:past_best"),
)
