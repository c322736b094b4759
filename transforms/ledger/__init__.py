"""The ledger: what is finished and what is paid for, so that neither is done twice.

A finished row is in a small Parquet group under ``ledger/rows/`` while its run is under way,
in ``metadata/`` once the run is whole, and in ``ledger/earlier/`` when a later run's manifest has
it no more (`alphabeam.transforms.metadata`); ``ledger/keys/`` says where each is. ``SkipFinished``
looks rows up in all of them by fingerprint (`skip`), and hands on those it finds as they were
finished (`finished`); everything else stays pending. In a job, ``PassFinished`` does so for many
rows at a time (`passing`). A row that failed is not finished. A task of the API is under
``ledger/tasks/`` (`submissions`).
"""

from alphabeam.transforms.ledger.finished import Finished, FinishedRows
from alphabeam.transforms.ledger.journal import Journal
from alphabeam.transforms.ledger.passing import PassFinished
from alphabeam.transforms.ledger.skip import SkipFinished, SkipSameContent, is_wanted, look_up
from alphabeam.transforms.ledger.submissions import Submission, Submissions

__all__ = [
    "Finished",
    "FinishedRows",
    "Journal",
    "PassFinished",
    "SkipFinished",
    "SkipSameContent",
    "Submission",
    "Submissions",
    "is_wanted",
    "look_up",
]
