"""A task as the API describes it, and waiting for many of them."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from alphabeam.transforms.picpik.errors import (
    AnswerInvalidError,
    ApiUnavailableError,
    TaskFailedError,
    TaskTimeoutError,
)

__all__ = ["TaskDetail", "TaskState", "Tasks", "collect", "find_lost", "is_task_uid", "read_task"]

_log = logging.getLogger(__name__)

TaskState = Literal["running", "finished", "failed"]

_MOST_CREDITS = 10_000  # a greater ConsumeApiPoint is not credible for one task
_MOST_CODE = 2**31 - 1

# The published example has 20 characters, digits and lower-case letters. Longer ones are taken
# too, but nothing that could not stand in a file name, a log line or a table.
_TASK_UID = re.compile(r"[0-9A-Za-z_-]{1,128}")


def is_task_uid(value: object) -> bool:
    """Whether a value can be a TaskUID: 1..128 letters, digits, ``_`` and ``-``."""
    return isinstance(value, str) and _TASK_UID.fullmatch(value) is not None


@dataclass(frozen=True)
class TaskDetail:
    """What ListTasksDetails says of one task, checked.

    Attributes:
        task_uid: The task.
        action: The operation, such as ``RemoveBackground``; empty where not said.
        status: The vendor's own word, such as ``Queuing``, ``Running``, ``Finished``, ``Error``.
        images: URLs of the results; dead after 24 hours.
        credits: Credits that the task cost; None where the API does not say it credibly.
        error_code: The vendor's code; 0 for none.
        error_message: The vendor's text; one line, without keys.
        defect: What breaks the API's description in this answer; empty when nothing does.
    """

    task_uid: str
    action: str = ""
    status: str = ""
    images: tuple[str, ...] = ()
    credits: int | None = 0
    error_code: int = 0
    error_message: str = ""
    defect: str = ""

    @property
    def state(self) -> TaskState:
        """Whether the task ended, and how.

        The vendor's list of status words is old and may have grown, so an unknown word counts
        as running until results or an error code stand beside it.
        """
        word = self.status.lower()
        if self.defect or self.error_code or word == "error":
            return "failed"
        if word == "finished" or (self.images and word not in ("queuing", "running")):
            return "finished"
        return "running"

    def result_url(self) -> str:
        """The result's URL.

        Raises:
            TaskFailedError: The task ended in Error.
            TaskTimeoutError: The task has not ended.
            AnswerInvalidError: The answer breaks the API's description.
        """
        where = f"task {self.task_uid}"
        if self.defect:
            raise AnswerInvalidError(f"{where}: {self.defect}")
        if self.state == "failed":
            raise TaskFailedError(
                f"{where} ended in Error: ErrorCode {self.error_code}: "
                f"{self.error_message or 'no message'}",
                ret_code=self.error_code,
            )
        if self.state == "running":
            raise TaskTimeoutError(
                f"{where} has not ended, its status is {self.status or 'not known'!r}; "
                "run the job again to collect it, or raise task_timeout"
            )
        if not self.images:
            raise AnswerInvalidError(f"{where} is {self.status} but its ImgList is empty")
        return self.images[0]


def read_task(value: object, clean: Callable[[str], str]) -> TaskDetail | None:
    """Reads one element of TaskDetailList, field by field.

    Args:
        value: The parsed JSON.
        clean: Makes a vendor's text fit to be shown: one line, no keys.

    Returns:
        The task, with `TaskDetail.defect` set where a field is wrong: one bad element must not
        cost the others of its list. None where not even the TaskUID can be read.
    """
    if not isinstance(value, Mapping):
        return None
    uid = value.get("TaskUID")
    if not isinstance(uid, str) or not is_task_uid(uid):
        return None
    defects: list[str] = []

    def text(name: str) -> str:
        found = value.get(name)
        if found is None or isinstance(found, str):
            return clean(found or "")
        defects.append(f"{name} is not text")
        return ""

    def error_code() -> int:
        found = _whole(value.get("ErrorCode"), -_MOST_CODE, _MOST_CODE)
        if found is None:
            defects.append("ErrorCode is not a whole number of 32 bits")
        return found or 0

    urls = value.get("ImgList")
    if urls is None:
        urls = []
    if not isinstance(urls, list) or not all(isinstance(u, str) and u for u in urls):
        defects.append("ImgList is not a list of URLs")
        urls = []
    points = _whole(value.get("ConsumeApiPoint"), 0, _MOST_CREDITS)
    detail = TaskDetail(
        task_uid=uid,
        action=text("Action"),
        status=text("Status"),
        images=tuple(urls),
        credits=points,
        error_code=error_code(),
        error_message=text("ErrorMassage") or text("ErrorMessage"),  # the first is how it is spelt
        defect="",
    )
    if points is None and detail.state != "running":
        _log.warning(
            "task %s: ConsumeApiPoint is %.40s, not a whole number of 0..%d; "
            "what it cost is recorded as unknown",
            uid,
            clean(_shown(value.get("ConsumeApiPoint"))),
            _MOST_CREDITS,
        )
    if not defects:
        return detail
    return TaskDetail(
        task_uid=uid,
        status=detail.status,
        credits=detail.credits,
        defect="its TaskDetail breaks the API's description: " + ", ".join(defects),
    )


def _whole(value: object, low: int, high: int) -> int | None:
    """A whole number within bounds, 0 where there is none; None for anything else."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        return None
    return int(value) if value == int(value) else None


def _shown(value: object) -> str:
    """A few characters of a value of any size."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


class Tasks(Protocol):
    """Whatever can be asked for the details of tasks; `PicpikClient` is one."""

    def tasks(self, uids: Sequence[str], /) -> list[TaskDetail]:
        """Details of those of the tasks that are known."""
        ...


class RunningTasks(Protocol):
    """Whatever can be asked for the account's running tasks; `PicpikClient` is one."""

    def running_tasks(self) -> list[str]:
        """UIDs of the tasks now queued or running."""
        ...


def collect(
    client: Tasks,
    uids: Iterable[str],
    *,
    timeout: float,
    first_pause: float = 1.0,
    max_pause: float = 15.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    rng: random.Random | None = None,
) -> Iterator[TaskDetail]:
    """Waits for tasks, and yields each as it ends.

    All tasks not yet ended are asked for together. The pause between two rounds grows by half
    from ``first_pause`` to ``max_pause``, is jittered (75..125 %), and starts anew after a round
    in which a task ended, since its neighbours will too. An outage of the API does not end the
    wait: the tasks are paid for.

    Args:
        client: Whom to ask.
        uids: The tasks; those named twice are yielded once.
        timeout: Seconds from the first round to the last.
        first_pause: Seconds before the second round; over 0.
        max_pause: Seconds, the longest pause.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        rng: Source of the jitter.

    Yields:
        Details of tasks that ended, well or badly, in the order in which that was seen. Tasks
        that had not ended at the time-out are not yielded: what is missing timed out.

    Raises:
        ApiUnavailableError: The API could not be asked in the last round either.
        PicpikError: The API refused to be asked.
    """
    rng = rng or random.Random()
    pending = dict.fromkeys(uids)
    deadline = clock() + timeout
    pause = first_pause
    while pending:
        last = clock() >= deadline
        ended: list[TaskDetail] = []
        try:
            ended = [d for d in client.tasks(list(pending)) if d.state != "running"]
        except ApiUnavailableError:
            if last:
                raise
        for detail in ended:
            if detail.task_uid in pending:
                del pending[detail.task_uid]
                yield detail
        if last or not pending:
            return
        pause = first_pause if ended else min(max_pause, pause * 1.5)
        sleep(max(0.0, min(pause * rng.uniform(0.75, 1.25), deadline - clock())))


def find_lost(client: RunningTasks, known: Iterable[str]) -> list[str]:
    """Looks in ListRunningTasks for tasks that no known task explains.

    A free call that may help to find submissions whose answers were lost. It shows little, as the
    list has neither request_uuid nor image:

    - A UID in the result belongs to a lost submission, *or* to another program that uses the
      same keys, or to a submission of another worker whose answer is on its way.
    - An empty result proves nothing: the lost task may have ended already, and leaves the list
      then.

    So it can show that money was probably spent; it can never show that none was.

    Args:
        client: Whom to ask.
        known: Every TaskUID that the caller can account for.

    Returns:
        The running UIDs that are not known, in the API's order.
    """
    explained = set(known)
    return [uid for uid in client.running_tasks() if uid not in explained]
