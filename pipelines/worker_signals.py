"""What Beam imports first in each worker process of a local run, on its main thread.

Only there may signals be handled, and nothing else of ours runs on that thread.
"""

from __future__ import annotations

import os

from alphabeam.pipelines.signals import end_worker_on_signals

if "CONTROL_API_SERVICE_DESCRIPTOR" in os.environ:  # by which Beam's workers find their runner
    end_worker_on_signals()
