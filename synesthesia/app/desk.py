"""Who is served when: a queue with limits that takes its users in turn; clicks that wait share a forward pass."""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from ..senses import InputError

PER_USER = 24  # pieces of work of one user that wait
WAITING = 192  # of all
TOGETHER = 32  # that share a forward pass
KEPT_S = 60.0  # for which a finished piece can be fetched
FAILED = "This did not work, and it is our fault; what happened is in the log of the server."


class Job:
    """A piece of work. `results` grow while it runs; `done` tells that no more come."""

    def __init__(
        self, user: str, work: Callable[[Job], Iterator[Any]], group: Hashable = None, item: Any = None
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.user = user
        self.group = group
        self.item = item
        self.results: list[Any] = []
        self.error: str | None = None
        self.done = False
        self.started = False
        self.cancelled = False
        self.ended = 0.0
        self._work = work
        self._changed = threading.Condition()

    def tell(self, result: Any) -> None:
        """One more result."""
        with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def end(self, error: str | None = None) -> None:
        """Nothing more comes."""
        with self._changed:
            self.done, self.error, self.ended = True, error, time.monotonic()
            self._changed.notify_all()

    def wait(self, have: int, seconds: float) -> None:
        """Until there are more than `have` results or no more come, but not longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.done or len(self.results) > have, timeout=seconds)

    def wait_done(self, seconds: float) -> None:
        """Until no more results come, but not longer than so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.done, timeout=seconds)

    def run(self) -> None:
        """Do it, telling results as they come; a cancelled one stops at its next result."""
        for result in self._work(self):
            if self.cancelled:
                break
            self.tell(result)


class Lane:
    """A worker with a queue: users take turns, each with their oldest work first.

    `together` does several pieces of one group at once and returns a result for each.
    """

    def __init__(self, name: str, together: Callable[[Hashable, Sequence[Any]], Sequence[Any]] | None = None) -> None:
        self._together = together
        self._users: OrderedDict[str, deque[Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._open = True
        self._worker = threading.Thread(target=self._serve, name=f"synesthesia-{name}", daemon=True)
        self._worker.start()

    def put(self, job: Job) -> None:
        """Queue it. Raises InputError when too much waits already."""
        with self._changed:
            if len(self._users.get(job.user, ())) >= PER_USER:
                raise InputError(f"{PER_USER} requests of yours are waiting already; let some of them come first.")
            if sum(map(len, self._users.values())) >= WAITING:
                raise InputError("Too many people are waiting just now; try again in a moment.")
            self._users.setdefault(job.user, deque()).append(job)
            self._changed.notify()

    def ahead(self, job: Job) -> int:
        """How many pieces are served before this one."""
        with self._changed:
            own = self._users.get(job.user)
            if own is None or job not in own:
                return 0
            turn = own.index(job)
            users = list(self._users)
            before = users.index(job.user)
            # Those who come first in this round have one turn more.
            others = [min(len(self._users[user]), turn + (k < before)) for k, user in enumerate(users) if k != before]
            return sum(others) + turn

    def remove(self, job: Job) -> bool:
        """Take it out, if it still waits."""
        with self._changed:
            own = self._users.get(job.user)
            if own is None or job not in own:
                return False
            own.remove(job)
            if not own:
                del self._users[job.user]
            return True

    def close(self) -> None:
        """No more work; what runs ends by itself."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._users or not self._open)
                if not self._open:
                    return
                jobs = self._next()
            for job in jobs:
                job.started = True
            try:
                if self._together is not None and jobs[0].group is not None:
                    results = self._together(jobs[0].group, [job.item for job in jobs])
                    for job, result in zip(jobs, results, strict=True):
                        job.tell(result)
                else:
                    jobs[0].run()
                error = None
            except InputError as told:
                error = str(told)
            except Exception:
                traceback.print_exc()
                error = FAILED
            for job in jobs:
                job.end(error)

    def _next(self) -> list[Job]:
        """The oldest work of the user whose turn it is, and whatever can be done together with it."""
        user, jobs = next(iter(self._users.items()))
        first = jobs.popleft()
        taken = [first]
        if first.group is not None:
            for others in self._users.values():
                for job in [job for job in others if job.group == first.group][: TOGETHER - len(taken)]:
                    others.remove(job)
                    taken.append(job)
        self._users.move_to_end(user)
        for name in [name for name, waiting in self._users.items() if not waiting]:
            del self._users[name]
        return taken


class Desk:
    """Work by its id, and what became of it."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, tuple[Lane, Job]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, lane: Lane, job: Job) -> Job:
        """Queue it in a lane. Raises InputError when too much waits already."""
        lane.put(job)
        with self._lock:
            self._jobs[job.id] = (lane, job)
            now = time.monotonic()
            for name in [n for n, (_, j) in self._jobs.items() if j.done and now - j.ended > KEPT_S]:
                del self._jobs[name]
        return job

    def get(self, user: str, name: Any) -> tuple[Lane, Job]:
        """The work of this id, for who asked for it and for nobody else."""
        with self._lock:
            found = self._jobs.get(name) if isinstance(name, str) else None
        if found is None or found[1].user != user:
            raise InputError("There is no such work; it may be long over.")
        return found

    def more(self, user: str, name: Any, have: int, seconds: float = 5.0) -> dict[str, Any]:
        """Results after the first `have`, as soon as there are any; how many wait ahead, and whether that was all."""
        lane, job = self.get(user, name)
        job.wait(have, seconds)
        with self._lock:
            if job.done:
                self._jobs.pop(job.id, None)
        return {"results": job.results[have:], "ahead": 0 if job.started else lane.ahead(job), "done": job.done,
                "started": job.started, "error": job.error, "cancelled": job.cancelled}  # fmt: skip

    def cancel(self, user: str, name: Any) -> None:
        """Have it end: at once where it waits, at its next result where it runs."""
        lane, job = self.get(user, name)
        job.cancelled = True
        if lane.remove(job):
            job.end()
