"""Trials that Optuna chooses, each from what the ones before gave; the extra `sweep`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from gannet.config import number
from gannet.errors import UserError
from gannet.experiments.sweep import Strategy, Trial
from gannet.experiments.vary import Listed, Ranged
from gannet.training.run import Snapshot

STUDY = "sweep"
JOURNAL = "journal.log"
STARTUP = 5  # runs that must be finished before one is pruned, at most
WARM_UP = 3  # the evaluation of a run at which it may be pruned first


def load_optuna() -> Any:
    """The package. Raises `UserError` where it is not installed."""
    try:
        import optuna.storages.journal
    except ImportError as error:
        raise UserError(
            "a range in --vary is searched by the package optuna: pip install 'gannet-gan[sweep]', or list values"
        ) from error
    return optuna


class Pruner:
    """Tells Optuna each metric of a run, and stops it where it has fallen behind the runs that are finished.

    Optuna's own median pruner compares the best value that a run ever had with the others' of the moment, and so
    never stops one that had luck early and gets worse.
    """

    def __init__(self, trial: Any, evaluate_every: float, startup: int):
        self.trial, self.evaluate_every, self.startup, self.stop = trial, evaluate_every, startup, False

    def on_stats(self, line: Mapping[str, Any]) -> None:
        if line["type"] != "metric" or line["value"] is None:
            return
        sign = 1 if line["better"] == "lower" else -1
        # Batches of another size come to the same moment a little earlier or later.
        self.trial.report(sign * line["value"], int(line["kimg"] / self.evaluate_every + 1e-6))
        self.stop = self.stop or self.falls_behind()

    def falls_behind(self) -> bool:
        """Whether enough runs are finished, and most of them were better at its last two moments."""
        trials = self.trial.study.get_trials(deepcopy=False)
        finished = [each.intermediate_values for each in trials if each.state.name == "COMPLETE"]
        return len(finished) >= self.startup and is_behind(trials[self.trial.number].intermediate_values, finished)

    def on_tick(self, snapshot: Snapshot) -> None:
        """What others show."""

    def close(self) -> None:
        """Nothing is held open."""


def is_behind(own: Mapping[int, float], others: Sequence[Mapping[int, float]]) -> bool:
    """Whether a run's newest two values are worse than the medians of the others' at the same moments.

    Each has values by the number of the evaluation, lower being better. Two in a row, since one may be bad by chance.
    Not before evaluation `WARM_UP`, nor where no other was measured at a moment.
    """
    newest = sorted(own)[-2:]
    if len(newest) < 2 or newest[-1] < WARM_UP:
        return False
    found = [[each[step] for each in others if step in each] for step in newest]
    return all(values and own[step] > median(values) for step, values in zip(newest, found, strict=True))


class Search(Strategy):
    """Optuna's TPE (Bergstra et al. 2011), kept in a journal beside the runs; `Pruner` stops trials.

    A trial that was interrupted goes on, and each is drawn from its own number: a search that was interrupted
    draws the same trials as one that was not. Metrics are told such that lower is better.
    """

    def __init__(self, out: Path, varied: Sequence[Listed | Ranged], num: int, evaluate_every: float):
        super().__init__(num)
        optuna = load_optuna()
        self.optuna, self.varied, self.evaluate_every = optuna, varied, evaluate_every
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal, files = str(out / JOURNAL), optuna.storages.journal
        self.study = optuna.create_study(
            study_name=STUDY,
            storage=optuna.storages.JournalStorage(
                files.JournalFileBackend(journal, lock_obj=files.JournalFileOpenLock(journal))
            ),
            load_if_exists=True,
        )
        self.startup = max(1, min(STARTUP, num // 4))
        self.pruners: dict[int, Pruner] = {}

    def __iter__(self) -> Iterator[Trial]:
        states = self.optuna.trial.TrialState
        for begun in self.study.get_trials(states=(states.RUNNING,)):
            yield self.drawn(self.optuna.trial.Trial(self.study, begun._trial_id))
        while (number := len(self.study.get_trials(deepcopy=False))) < self.num:
            self.study.sampler = self.optuna.samplers.TPESampler(seed=number)
            yield self.drawn(self.study.ask())

    def drawn(self, trial: Any) -> Trial:
        """The settings of a trial, as the command line writes them."""
        self.pruners[trial.number] = Pruner(trial, self.evaluate_every, self.startup)
        return Trial(trial.number, {each.name: suggested(trial, each) for each in self.varied})

    def watch(self, trial: Trial) -> Pruner:
        return self.pruners[trial.number]

    def told(self, trial: Trial, state: str, value: float | None) -> None:
        states = self.optuna.trial.TrialState
        if state == "pruned":
            self.study.tell(trial.number, state=states.PRUNED)
        elif state == "done" and value is not None:
            self.study.tell(trial.number, value)
        else:
            self.study.tell(trial.number, state=states.FAIL)


def suggested(trial: Any, varied: Listed | Ranged) -> str:
    """The trial's value of a setting, as the command line writes it."""
    if isinstance(varied, Listed):
        return trial.suggest_categorical(varied.name, varied.values)
    if varied.whole:
        return str(trial.suggest_int(varied.name, int(varied.low), int(varied.high), log=varied.log))
    return number(trial.suggest_float(varied.name, varied.low, varied.high, log=varied.log))
