"""The end of a job: what it did, in a few lines, as JSON, and as a site to look through.

`summary` is for a terminal and for machines. `site` writes ``report/`` into the output: pages and
scripts that need no server (the folder ``pages/`` beside this file), and the rows as scripts that
they load (`data`), worst first (`listing`). `ending` writes both.
"""

from alphabeam.pipelines.report.ending import write_ending
from alphabeam.pipelines.report.site import ReportError, report_again, write_report
from alphabeam.pipelines.report.summary import Summary, summarize

__all__ = ["ReportError", "Summary", "report_again", "summarize", "write_ending", "write_report"]
