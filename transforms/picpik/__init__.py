"""The signed PICPIK API, usable without Beam.

    client = PicpikClient(INTERNATIONAL, public_key, private_key)
    uid = client.submit(image, "image/jpeg", MattingParameters(), str(uuid.uuid4()))
    (task,) = collect(client, [uid], timeout=300)
    alpha, rgba = matte_from_result(pixels, client.download(task.result_url()), only_mask=False)

It knows nothing of manifests, ledgers or budgets: who calls `PicpikClient.submit` twice pays
twice.
"""

from __future__ import annotations

from alphabeam.transforms.picpik.client import Intent, PicpikClient
from alphabeam.transforms.picpik.endpoint import CHINA, INTERNATIONAL
from alphabeam.transforms.picpik.errors import (
    AnswerInvalidError,
    ApiRefusedError,
    ApiUnavailableError,
    KeysRefusedError,
    PicpikError,
    ResultRefusedError,
    SubmitUnknownError,
    TaskExpiredError,
    TaskFailedError,
    TaskTimeoutError,
)
from alphabeam.transforms.picpik.result import matte_from_result
from alphabeam.transforms.picpik.signature import sign
from alphabeam.transforms.picpik.tasks import TaskDetail, collect, find_lost
from alphabeam.transforms.picpik.upload import Upload, prepare_upload
from alphabeam.transforms.picpik.watch import TaskWatch
from alphabeam.transforms.retry import Backoff

__all__ = [
    "CHINA",
    "INTERNATIONAL",
    "AnswerInvalidError",
    "ApiRefusedError",
    "ApiUnavailableError",
    "Backoff",
    "Intent",
    "KeysRefusedError",
    "PicpikClient",
    "PicpikError",
    "ResultRefusedError",
    "SubmitUnknownError",
    "TaskDetail",
    "TaskExpiredError",
    "TaskFailedError",
    "TaskTimeoutError",
    "TaskWatch",
    "Upload",
    "collect",
    "find_lost",
    "matte_from_result",
    "prepare_upload",
    "sign",
]
