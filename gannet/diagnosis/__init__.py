"""What is going wrong in a run, since when, and the one change to make: from numbers alone, without torch.

`open_log` reads a run or a log, `diagnose` runs the detectors of the table `detectors.DETECTORS` over it,
`report.text` says it in words.
"""

from gannet.diagnosis.diagnose import Diagnosis, diagnose
from gannet.diagnosis.finding import Evidence, Finding, Remedy, Sign
from gannet.diagnosis.logs import open_log
from gannet.diagnosis.series import Log, Series

__all__ = ["Diagnosis", "Evidence", "Finding", "Log", "Remedy", "Series", "Sign", "diagnose", "open_log"]
