"""Faust by the batch: whole fetched batches to an agent, tables with write-behind changelogs, exact under kill -9.

Knows faust-streaming 0.15 and aiokafka 0.14, and nothing of what it is used for.
"""

from batching.app import BatchingApp
from batching.bisect import bisect
from batching.limits import Limits
from batching.records import Batch, Record
from batching.tables import TablePartition, WriteBehindTable

__all__ = ["Batch", "BatchingApp", "Limits", "Record", "TablePartition", "WriteBehindTable", "bisect"]
