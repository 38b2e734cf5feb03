"""One thread owns G: images that are asked for at the same time are made in one forward."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from gannet.generation.sampler import Sampler

COPIES = 8  # of G, each with a truncation of its own, that are kept
ENDING = "the service is about to end"


class BusyError(Exception):
    """There is no room in the queue, or the service is about to end."""


@dataclass(eq=False)
class Job:
    """Images 0 to N of a seed, of the class numbers `[N]`: what one request asks for."""

    seed: int
    labels: np.ndarray
    truncation: float | None
    made: Future[np.ndarray] = field(default_factory=Future)
    parts: list[np.ndarray] = field(default_factory=list)
    started: int = 0
    """How many of them have been given to a forward."""

    @property
    def left(self) -> int:
        return len(self.labels) - self.started

    def add(self, images: np.ndarray) -> None:
        """The next of its images; with the last of them it is done."""
        self.parts.append(images)
        if sum(map(len, self.parts)) == len(self.labels):
            self.made.set_result(np.concatenate(self.parts))


@dataclass(frozen=True)
class Share:
    """Images `start` to `start + num` of a job, as a part of one forward."""

    job: Job
    start: int
    num: int


class Worker:
    """Makes what is asked for, in the order in which it came.

    A forward takes what is waiting, at most `batch` images; the rest come with the next one. So many may be in it that
    belong to others: an image follows from its seed and number alone. onnxruntime computes the same bits for every
    size of a forward; torch adds up in another order for some, which moves a few pixels by one level. At most `queue`
    images wait.
    """

    def __init__(self, G: Sampler, batch: int, queue: int) -> None:
        self.G, self.batch, self.queue = G, batch, queue
        self.jobs: list[Job] = []
        self.changed = threading.Condition()
        self.closed = False
        self.copies: OrderedDict[float, Sampler] = OrderedDict()
        self.thread = threading.Thread(target=self.work, name="gannet-serving", daemon=True)

    @property
    def waiting(self) -> int:
        """Images that no forward has begun with."""
        return sum(job.left for job in self.jobs)

    def start(self) -> None:
        """From now on images are made."""
        self.thread.start()

    def ask(self, seed: int, labels: np.ndarray, truncation: float | None) -> Future[np.ndarray]:
        """Images to come, uint8 `[N, C, R, R]`, of clips `[N, frames * C, R, R]`. Raises `BusyError` at once."""
        job = Job(seed, labels, truncation)
        with self.changed:
            if self.closed:
                raise BusyError(ENDING)
            if self.waiting + len(labels) > self.queue:
                raise BusyError(f"{self.waiting} images are waiting already, and at most {self.queue} may: try again")
            self.jobs.append(job)
            self.changed.notify()
        return job.made

    def close(self, seconds: float) -> None:
        """Makes nothing more, and waits so long for the forward that is going on."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join(seconds)

    def work(self) -> None:
        """What the thread does."""
        while shares := self.next():
            try:
                images = self.make(shares)
            except Exception as error:  # the thread outlives what one request asked for
                for share in shares:
                    share.job.made.set_exception(error)
                continue
            ends = np.cumsum([share.num for share in shares])[:-1]
            for share, part in zip(shares, np.split(images, ends), strict=True):
                share.job.add(part)

    def next(self) -> list[Share]:
        """The next forward, when there is something to make; nothing when it is over."""
        with self.changed:
            shares: list[Share] = []
            while not shares:
                self.changed.wait_for(lambda: self.closed or self.jobs)
                self.jobs = [job for job in self.jobs if not job.made.done()]  # some have failed, or were given up
                if self.closed:
                    for job in self.jobs:
                        if not job.made.cancel():
                            job.made.set_exception(BusyError(ENDING))
                    return []
                shares = shares_of([job for job in self.jobs if job.truncation == self.jobs[0].truncation], self.batch)
                self.jobs = [job for job in self.jobs if job.left]
            return shares

    def make(self, shares: Sequence[Share]) -> np.ndarray:
        """One forward."""
        G = self.truncated(shares[0].job.truncation)
        z = G.joined([G.z(share.job.seed, share.start, share.num) for share in shares])
        c = np.concatenate([share.job.labels[share.start : share.start + share.num] for share in shares])
        return G.to_uint8(G.images(z, G.one_hot(c)))

    def truncated(self, truncation: float | None) -> Sampler:
        """G, or a copy; those that were asked for last are kept, since batch norm's statistics take 100 batches."""
        if truncation is None:
            return self.G
        if truncation not in self.copies:
            self.copies[truncation] = self.G.truncated(truncation)
        self.copies.move_to_end(truncation)
        if len(self.copies) > COPIES:
            self.copies.popitem(last=False)
        return self.copies[truncation]


def shares_of(jobs: Sequence[Job], batch: int) -> list[Share]:
    """The first images of the jobs, at most `batch`; they count as started."""
    room, shares = batch, []
    for job in jobs:
        if (taken := min(job.left, room)) and (job.started or job.made.set_running_or_notify_cancel()):
            shares.append(Share(job, job.started, taken))
            job.started += taken
            room -= taken
    return shares
