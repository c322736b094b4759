"""The emulator itself: an aiohttp application and its state."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import json
import random
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Any

from aiohttp import web

from alphabeam.transforms.picpik.emulator.answers import Answerer, cut_by_colour
from alphabeam.transforms.picpik.emulator.broken import half, huge, other_size, reset
from alphabeam.transforms.picpik.emulator.checks import (
    BAD_PARAMETER,
    BAD_SIGNATURE,
    BUSY,
    COMMON,
    KNOWN,
    NO_ACTION,
    NO_CREDITS,
    UNKNOWN_KEY,
    RefusedError,
    checked_image,
)
from alphabeam.transforms.picpik.emulator.faults import AFTER, BEFORE, ON_RESULT, Faults
from alphabeam.transforms.picpik.emulator.task import Task
from alphabeam.transforms.picpik.signature import sign

__all__ = ["Emulator"]

_UID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Emulator:
    """The API's state, and the application that serves it.

    Args:
        public_key: The one account's key.
        private_key: Its private key.
        answer: Makes the result from the upload: bytes and parameters to bytes.
        faults: Fault -> probability or occasions; see `faults.FAULTS`.
        seed: Of the faults' probabilities.
        slots: Tasks that run at one time; the others queue.
        task_seconds: How long a task runs.
        cost: Credits a task costs.
        credits: The account's credits; None for no end.
        refund_errors: A task that ends in Error costs nothing.
        result_seconds: How long a result's URL lives after its task ended.
        max_upload_bytes: Largest image taken, decoded from base64.
        delay_seconds: Of the faults ``delay`` and ``result_delay``.
        late_seconds: Of the fault ``answer_late``.
        retry_after: Seconds in ``http_429_after`` and ``http_429_date``.
        busy_code: RetCode of the fault ``ret_code``.
        uid_length: Characters of a TaskUID.
        clock: Seconds by which tasks run and results die.

    Attributes:
        endpoint: Its URL, once it runs.
        requests: Requests by action, whatever became of them.
        begun: Requests of which the headers came, in `requests` or not.
        cut_off: Those of them that ended before they were whole.
        arrivals: When each of them came, monotonic seconds.
        submissions: Tasks queued by the SHA-256 of the image's bytes.
        tasks_by_request: Tasks queued by request_uuid.
        billed: Credits billed.
        tasks: Every task by its UID.
        faults: What struck so far, in ``faults.struck``.
        huge_bytes_sent: Bytes of the 2 GB answers that left.
    """

    def __init__(
        self,
        *,
        public_key: str = "demo-public",
        private_key: str = "demo-private",
        answer: Answerer = cut_by_colour,
        faults: Mapping[str, float | Sequence[int]] | None = None,
        seed: int = 0,
        slots: int = 32,
        task_seconds: float = 0.0,
        cost: int = 1,
        credits: int | None = None,
        refund_errors: bool = False,
        result_seconds: float = 24 * 3600.0,
        max_upload_bytes: int = 32 << 20,
        delay_seconds: float = 0.2,
        late_seconds: float = 2.0,
        retry_after: int = 1,
        busy_code: int = BUSY,
        uid_length: int = 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.public_key = public_key
        self.private_key = private_key
        self.endpoint = ""
        self.faults = Faults(faults, seed)
        self.requests: Counter[str] = Counter()
        self.begun = 0
        self.cut_off = 0
        self.arrivals: list[float] = []
        self.submissions: Counter[str] = Counter()
        self.tasks_by_request: Counter[str] = Counter()
        self.tasks: dict[str, Task] = {}
        self.billed = 0
        self.huge_bytes_sent = 0
        self._answer = answer
        self._task_seconds = task_seconds
        self._free_at = [float("-inf")] * slots  # a heap: when each slot is free
        self._cost = cost
        self._credits = credits
        self._refund_errors = refund_errors
        self._result_seconds = result_seconds
        self._max_upload_bytes = max_upload_bytes
        self._delay_seconds = delay_seconds
        self._late_seconds = late_seconds
        self._retry_after = retry_after
        self._busy_code = busy_code
        self._uid_length = uid_length
        self._clock = clock

    def application(self) -> web.Application:
        """The aiohttp application."""
        # base64 adds a third, and some room is left for the other fields.
        app = web.Application(client_max_size=self._max_upload_bytes * 3 // 2 + 65_536)
        app.router.add_post("/", self._call)
        app.router.add_get("/results/{uid}/{token}.png", self._result)
        app.router.add_get("/_emulator/state", self._state)
        return app

    def state(self) -> dict[str, Any]:
        """Everything countable, as JSON can hold it."""
        now = self._clock()
        return {
            "requests": dict(self.requests),
            "cut_off": self.cut_off,
            "submissions": dict(self.submissions),
            "tasks_by_request": dict(self.tasks_by_request),
            "billed": self.billed,
            "faults": dict(self.faults.struck),
            "tasks": {
                t.uid: {
                    "status": t.status(now),
                    "sha256": t.sha256,
                    "request_uuid": t.request_uuid,
                    "cost": t.cost,
                }
                for t in list(self.tasks.values())
            },
        }

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _call(self, request: web.Request) -> web.StreamResponse:
        self.begun += 1
        try:
            raw = await request.read()
        except BaseException:  # the client is gone, and this task may be cancelled for it
            self.cut_off += 1
            raise
        fields = self._parse(raw)
        action = str(fields.get("Action", ""))
        self.requests[action] += 1
        self.arrivals.append(time.monotonic())
        image = fields.get("RawImage")
        key = hashlib.sha256(image.encode()).hexdigest() if isinstance(image, str) else action
        if self.faults.strikes("delay", key, action):
            await asyncio.sleep(self._delay_seconds)
        early = self.faults.first(BEFORE, key, action)
        if early == "reset":
            return reset(request)
        if early == "ret_code":
            busy = RefusedError(self._busy_code, "the service is busy")
            return web.json_response(_envelope(fields, refused=busy))
        if early:
            return self._http_fault(early)
        try:
            answer = _envelope(fields) | self._carry_out(action, fields)
        except RefusedError as refused:
            return web.json_response(_envelope(fields, refused=refused))
        return await self._answered(request, answer, self.faults.first(AFTER, key, action))

    def _parse(self, raw: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(raw)
        except ValueError:
            fields = None
        return fields if isinstance(fields, dict) else {}

    def _http_fault(self, fault: str) -> web.Response:
        headers = {}
        if fault == "http_429_after":
            headers["Retry-After"] = str(self._retry_after)
        elif fault == "http_429_date":
            headers["Retry-After"] = formatdate(time.time() + self._retry_after, usegmt=True)
        status = int(fault.split("_")[1])
        return web.Response(status=status, text="<html>no</html>", headers=headers)

    async def _answered(
        self, request: web.Request, answer: dict[str, Any], fault: str
    ) -> web.StreamResponse:
        if fault == "answer_lost":
            return reset(request)
        if fault == "answer_late":
            await asyncio.sleep(self._late_seconds)
        if fault == "gateway":
            return web.Response(status=502, text="<html>bad gateway</html>")
        if fault == "wrong_uuid":
            answer["request_uuid"] = str(uuid.uuid4())
        body = json.dumps(answer).encode()
        if fault == "huge_answer":
            return await huge(
                request,
                b'{"RetCode": 0, "Message": "',
                announced=False,
                on_sent=self._count_huge,
            )
        if fault == "reset_midbody":
            return await half(request, body)
        if fault == "truncated_json":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type="application/json")

    def _carry_out(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        if action not in KNOWN:
            raise RefusedError(NO_ACTION, f"unknown Action {action!r}")
        if fields.get("PublicKey") != self.public_key:
            raise RefusedError(UNKNOWN_KEY, "unknown PublicKey")
        if fields.get("Signature") != sign(fields, self.private_key):
            raise RefusedError(BAD_SIGNATURE, "Signature VerifyAC Error")
        unknown = sorted(fields.keys() - KNOWN[action])
        if unknown:
            raise RefusedError(BAD_PARAMETER, f"unknown parameter {unknown[0]}")
        if not isinstance(fields.get("request_uuid", ""), str):
            raise RefusedError(BAD_PARAMETER, "request_uuid must be a string")
        if action == "RemoveBackground":
            return {"TaskUID": self._queue(fields).uid}
        now = self._clock()
        if action == "ListRunningTasks":
            statuses = ((t.uid, t.status(now)) for t in self.tasks.values())
            return {"TaskUIDList": [u for u, s in statuses if s in ("Queuing", "Running")]}
        uids = fields.get("TaskUIDList")
        if not isinstance(uids, list) or not all(isinstance(u, str) for u in uids) or not uids:
            raise RefusedError(BAD_PARAMETER, "TaskUIDList must be a list of strings")
        found = (self.tasks[u] for u in uids if u in self.tasks)
        return {"TaskDetailList": [self._detail(t, now) for t in found]}

    def _queue(self, fields: dict[str, Any]) -> Task:
        image = checked_image(fields, self._max_upload_bytes)
        if self._credits is not None and self.billed + self._cost > self._credits:
            raise RefusedError(NO_CREDITS, "insufficient credits")
        sha256 = hashlib.sha256(image).hexdigest()
        number = len(self.tasks)
        rng = random.Random(f"{self.private_key}/{number}/{sha256}")
        fate = self.faults.first(("task_stuck", "task_error"), sha256)
        free = heapq.heappop(self._free_at)
        starts = max(free, self._clock())
        ends = starts + self._task_seconds
        # A stuck task would block its slot for ever; only its own fate is of interest.
        heapq.heappush(self._free_at, ends)
        task = Task(
            uid="".join(rng.choice(_UID_LETTERS) for _ in range(self._uid_length)),
            sha256=sha256,
            request_uuid=fields.get("request_uuid", ""),
            params={k: v for k, v in fields.items() if k not in COMMON | {"RawImage"}},
            image=image,
            starts=starts,
            ends=ends,
            fate=fate,
            cost=0 if fate == "task_error" and self._refund_errors else self._cost,
            token=secrets.token_hex(8),
        )
        self.tasks[task.uid] = task
        self.submissions[sha256] += 1
        self.tasks_by_request[task.request_uuid] += 1
        self.billed += task.cost
        return task

    def _detail(self, task: Task, now: float) -> dict[str, Any]:
        status = task.status(now)
        finished = status == "Finished"
        failed = status == "Error"
        url = f"{self.endpoint}/results/{task.uid}/{task.token}.png"
        return {
            "TaskUID": task.uid,
            "Action": "RemoveBackground",
            "Status": status,
            "ImgList": [url] if finished else None,
            "Seed": 0,
            "TxtList": None,
            "ConsumeApiPoint": task.cost if finished or failed else 0,
            "ErrorCode": 5001 if failed else 0,
            "ErrorMassage": "no subject was found" if failed else "",
        }

    async def _result(self, request: web.Request) -> web.StreamResponse:
        task = self.tasks.get(request.match_info["uid"])
        now = self._clock()
        if (
            task is None
            or request.match_info["token"] != task.token
            or task.status(now) != "Finished"
            or task.expired
            or now > task.ends + self._result_seconds
        ):
            return web.Response(status=404)
        if self.faults.strikes("result_delay", task.sha256):
            await asyncio.sleep(self._delay_seconds)
        fault = self.faults.first(ON_RESULT, task.sha256)
        if fault == "result_500":
            return web.Response(status=500)
        if fault == "result_expired":
            task.expired = True
            return web.Response(status=403, text="<Error>AccessDenied</Error>")
        if fault == "result_redirect":
            raise web.HTTPFound("http://127.0.0.1:9/elsewhere.png")
        if fault.startswith("result_huge"):
            announced = fault == "result_huge_announced"
            return await huge(
                request, b"\x89PNG\r\n\x1a\n", announced=announced, on_sent=self._count_huge
            )
        if fault == "result_html":
            return web.Response(text="<html>hello</html>", content_type="text/html")
        async with task.lock:
            if task.result is None:
                assert task.image is not None
                loop = asyncio.get_running_loop()
                image, params = task.image, task.params
                task.result = await loop.run_in_executor(None, self._answer, image, params)
                task.image = None
        body = task.result
        if self.faults.strikes("result_wrong_size", task.sha256):
            body = other_size(body)
        if fault == "result_reset":
            return await half(request, body)
        if fault == "result_truncated":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type="image/png")

    def _count_huge(self, size: int) -> None:
        self.huge_bytes_sent += size


def _envelope(fields: Mapping[str, Any], refused: RefusedError | None = None) -> dict[str, Any]:
    return {
        "RetCode": 0 if refused is None else refused.code,
        "Action": f"{fields.get('Action', '')}Response",
        "Message": "" if refused is None else str(refused),
        "request_uuid": fields.get("request_uuid", ""),
    }
