"""``python -m alphabeam.pipelines.beam_yaml``: where the provider file is."""

from __future__ import annotations

from alphabeam.pipelines.beam_yaml import PROVIDERS

if __name__ == "__main__":
    print(PROVIDERS)
