#!/usr/bin/env python
"""Runs an alphabeam job: ``python run.py configs/samples.yaml``; see ``--help``."""

import sys

from alphabeam.pipelines.command import main

if __name__ == "__main__":
    sys.exit(main())
