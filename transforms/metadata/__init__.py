"""``WriteMetadata``: the rows, as a Parquet dataset that is whole or not there.

Rows are first written to the ledger in small groups, as they come, so that a run that is killed
loses next to nothing (`groups`). When the last one is in, they become
``metadata/RUN/part-….parquet``, on all workers (`parts`), and `commit` writes an index of what is
finished (`keys`), puts a marker ``_SUCCESS`` beside them and removes the folders of earlier runs.
So ``metadata/`` holds one whole run at any time, save for the moment of the change; a run without a
marker is not finished. `schema` has every column with its meaning.
"""

from alphabeam.transforms.metadata.commit import Committed, read_committed
from alphabeam.transforms.metadata.failures import failure_record
from alphabeam.transforms.metadata.schema import (
    COLUMNS,
    SCHEMA,
    decode_table,
    encode_table,
    rows_from_table,
    table_from_rows,
)
from alphabeam.transforms.metadata.transform import WriteMetadata
from alphabeam.transforms.rows import RESUBMITTED

__all__ = [
    "COLUMNS",
    "RESUBMITTED",
    "SCHEMA",
    "Committed",
    "WriteMetadata",
    "decode_table",
    "encode_table",
    "failure_record",
    "read_committed",
    "rows_from_table",
    "table_from_rows",
]
