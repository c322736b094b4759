"""A job server of Beam's Job API, which runs each job on several workers of one pool.

usage: python -m tests.engines.job_server PORT WORKERS

Beam's own local job server gives each job one worker.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer


def job_type(workers: int) -> type[BeamJob]:
    class Job(BeamJob):
        def _invoke_runner(self) -> Any:
            self.set_state(beam_job_api_pb2.JobState.RUNNING)
            runner = FnApiRunner(provision_info=self._provision_info)
            runner._num_workers = workers
            return runner.run_via_runner_api(self._pipeline_proto, self.pipeline_options())

    return Job


if __name__ == "__main__":
    port, count = map(int, sys.argv[1:])
    LocalJobServicer(beam_job_type=job_type(count)).start_grpc_server(port)
    threading.Event().wait()
