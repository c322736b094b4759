"""The emulator itself: an aiohttp application, its state, and a thread to run it in."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import heapq
import io
import json
import random
import secrets
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web
from PIL import Image

from alphabeam.transforms.picpik.signature import sign
from tests.picpik_emulator.answers import Answerer, core_answer, cut_by_colour
from tests.picpik_emulator.faults import Faults

__all__ = ["Emulator", "running_emulator"]

HUGE = 2 << 30
UID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

# Invented: the vendor publishes no list.
NO_ACTION, BAD_SIGNATURE, UNKNOWN_KEY, BAD_PARAMETER, NO_CREDITS, BUSY = (
    160,
    171,
    172,
    230,
    520,
    150,
)

BEFORE = (
    "reset",
    "http_429",
    "http_429_after",
    "http_429_date",
    "http_500",
    "http_503",
    "ret_code",
)
AFTER = (
    "answer_lost",
    "answer_late",
    "gateway",
    "reset_midbody",
    "truncated_json",
    "wrong_uuid",
    "huge_answer",
)
ON_RESULT = (
    "result_500",
    "result_reset",
    "result_expired",
    "result_redirect",
    "result_huge",
    "result_huge_announced",
    "result_html",
    "result_truncated",
)

RANGES = {
    "ErodeSize": (0, 40),
    "ForegroundThreshold": (0, 255),
    "BackgroundThreshold": (0, 255),
}
COMMON = {"Action", "PublicKey", "Signature", "request_uuid"}
KNOWN = {
    "RemoveBackground": COMMON | set(RANGES) | {"RawImage", "Box", "HairOptimization", "OnlyMask"},
    "ListTasksDetails": COMMON | {"TaskUIDList"},
    "ListRunningTasks": COMMON,
}


class Refused(Exception):
    """A RetCode and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Task:
    """One queued task; times are monotonic seconds."""

    uid: str
    sha256: str
    request_uuid: str
    params: dict[str, Any]
    image: bytes | None = field(repr=False)
    starts: float
    ends: float
    fate: str  # "", task_stuck or task_error
    cost: int
    token: str
    expired: bool = False
    result: bytes | None = field(default=None, repr=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def status(self, now: float) -> str:
        if now < self.starts:
            return "Queuing"
        if now < self.ends or self.fate == "task_stuck":
            return "Running"
        return "Error" if self.fate == "task_error" else "Finished"


class Emulator:
    """The API's state, and the application that serves it.

    Args:
        public_key: The one account's key.
        private_key: Its private key.
        answer: Makes the result from the upload: bytes and parameters to bytes.
        core: A `MattingCore` that makes the results, in the place of ``answer``.
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
        core: Any = None,
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
        self.submissions: Counter[str] = Counter()
        self.tasks_by_request: Counter[str] = Counter()
        self.tasks: dict[str, Task] = {}
        self.billed = 0
        self.huge_bytes_sent = 0
        self._answer = answer if core is None else core_answer(core)
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
        raw = await request.read()
        fields = self._parse(raw)
        action = str(fields.get("Action", ""))
        self.requests[action] += 1
        image = fields.get("RawImage")
        key = hashlib.sha256(image.encode()).hexdigest() if isinstance(image, str) else action
        if self.faults.strikes("delay", key, action):
            await asyncio.sleep(self._delay_seconds)
        early = self.faults.first(BEFORE, key, action)
        if early == "reset":
            return _reset(request)
        if early == "ret_code":
            busy = Refused(self._busy_code, "the service is busy")
            return web.json_response(_envelope(fields, refused=busy))
        if early:
            return self._http_fault(early)
        try:
            answer = _envelope(fields) | self._carry_out(action, fields)
        except Refused as refused:
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
            return _reset(request)
        if fault == "answer_late":
            await asyncio.sleep(self._late_seconds)
        if fault == "gateway":
            return web.Response(status=502, text="<html>bad gateway</html>")
        if fault == "wrong_uuid":
            answer["request_uuid"] = str(uuid.uuid4())
        body = json.dumps(answer).encode()
        if fault == "huge_answer":
            return await self._huge(request, b'{"RetCode": 0, "Message": "', announced=False)
        if fault == "reset_midbody":
            return await _half(request, body)
        if fault == "truncated_json":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type="application/json")

    def _carry_out(self, action: str, fields: dict[str, Any]) -> dict[str, Any]:
        if action not in KNOWN:
            raise Refused(NO_ACTION, f"unknown Action {action!r}")
        if fields.get("PublicKey") != self.public_key:
            raise Refused(UNKNOWN_KEY, "unknown PublicKey")
        if fields.get("Signature") != sign(fields, self.private_key):
            raise Refused(BAD_SIGNATURE, "Signature VerifyAC Error")
        unknown = sorted(fields.keys() - KNOWN[action])
        if unknown:
            raise Refused(BAD_PARAMETER, f"unknown parameter {unknown[0]}")
        if not isinstance(fields.get("request_uuid", ""), str):
            raise Refused(BAD_PARAMETER, "request_uuid must be a string")
        if action == "RemoveBackground":
            return {"TaskUID": self._queue(fields).uid}
        now = self._clock()
        if action == "ListRunningTasks":
            statuses = ((t.uid, t.status(now)) for t in self.tasks.values())
            return {"TaskUIDList": [u for u, s in statuses if s in ("Queuing", "Running")]}
        uids = fields.get("TaskUIDList")
        if not isinstance(uids, list) or not all(isinstance(u, str) for u in uids) or not uids:
            raise Refused(BAD_PARAMETER, "TaskUIDList must be a list of strings")
        found = (self.tasks[u] for u in uids if u in self.tasks)
        return {"TaskDetailList": [self._detail(t, now) for t in found]}

    def _queue(self, fields: dict[str, Any]) -> Task:
        image = _checked_image(fields, self._max_upload_bytes)
        if self._credits is not None and self.billed + self._cost > self._credits:
            raise Refused(NO_CREDITS, "insufficient credits")
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
            uid="".join(rng.choice(UID_LETTERS) for _ in range(self._uid_length)),
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
            return await self._huge(request, b"\x89PNG\r\n\x1a\n", announced=announced)
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
            body = _other_size(body)
        if fault == "result_reset":
            return await _half(request, body)
        if fault == "result_truncated":
            body = body[: len(body) // 2]
        return web.Response(body=body, content_type="image/png")

    async def _huge(
        self, request: web.Request, begin: bytes, *, announced: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = HUGE
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        block = begin + b" " * (65_536 - len(begin))
        sent = 0
        try:
            while sent < HUGE:
                await response.write(block)
                sent += len(block)
                self.huge_bytes_sent += len(block)
        except (ConnectionError, asyncio.CancelledError):
            pass
        return response


def _envelope(fields: Mapping[str, Any], refused: Refused | None = None) -> dict[str, Any]:
    return {
        "RetCode": 0 if refused is None else refused.code,
        "Action": f"{fields.get('Action', '')}Response",
        "Message": "" if refused is None else str(refused),
        "request_uuid": fields.get("request_uuid", ""),
    }


def _checked_image(fields: Mapping[str, Any], max_bytes: int) -> bytes:
    """The upload's bytes, once every parameter was found good."""
    text = fields.get("RawImage")
    if not isinstance(text, str):
        raise Refused(BAD_PARAMETER, "RawImage is required")
    head, comma, data = text.partition(",")
    if not comma or head not in (f"data:image/{k};base64" for k in ("jpeg", "png", "webp")):
        raise Refused(BAD_PARAMETER, "RawImage must be a data URI of a JPEG, PNG or WebP image")
    try:
        image = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(image)) as picture:
            width, height = picture.size
            media_type = Image.MIME.get(str(picture.format), "")
    except (binascii.Error, OSError, SyntaxError):
        raise Refused(BAD_PARAMETER, "RawImage is not an image") from None
    if len(image) > max_bytes:
        raise Refused(BAD_PARAMETER, "RawImage is too large")
    if media_type not in (head[5:-7], "image/mpo"):
        raise Refused(BAD_PARAMETER, f"RawImage says {head[5:-7]} and is {media_type}")
    for name, (low, high) in RANGES.items():
        value = fields.get(name, low)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Refused(BAD_PARAMETER, f"{name} must be an integer of {low}..{high}")
    if fields.get("HairOptimization", "auto") not in ("auto", "on", "off"):
        raise Refused(BAD_PARAMETER, "HairOptimization must be auto, on or off")
    if not isinstance(fields.get("OnlyMask", False), bool):
        raise Refused(BAD_PARAMETER, "OnlyMask must be a boolean")
    box = fields.get("Box")
    if box is not None:
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) is int for v in box):
            raise Refused(BAD_PARAMETER, "Box must be four integers")
        left, top, right, bottom = box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise Refused(BAD_PARAMETER, "Box lies outside the image")
    return image


def _reset(request: web.Request) -> web.Response:
    """Ends the connection with a TCP reset, as a server that dies does."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere


async def _half(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0.02)  # so that the half arrives before the reset overtakes it
    _reset(request)
    return response


def _other_size(body: bytes) -> bytes:
    with Image.open(io.BytesIO(body)) as image:
        out = io.BytesIO()
        image.resize((image.width + 3, image.height)).save(out, "PNG")
    return out.getvalue()


@contextmanager
def running_emulator(
    *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> Iterator[Emulator]:
    """Runs an emulator in a thread of its own; port 0 picks a free one.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        **options: Of `Emulator`.
    """
    emulator = Emulator(**options)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(
        emulator.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
    )

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        emulator.endpoint = f"http://{host}:{runner.addresses[0][1]}"

    thread = threading.Thread(target=loop.run_forever, name="picpik-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
