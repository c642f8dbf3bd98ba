"""Floor 1: the run directory and everything in it, written durably and read without torch."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .arrays import decode_arrays as decode_arrays
    from .arrays import encode_arrays as encode_arrays
    from .artifacts import Artifacts as Artifacts
    from .checkpoints.index import CheckpointEntry as CheckpointEntry
    from .checkpoints.store import CheckpointStore as CheckpointStore
    from .checkpoints.store import Found as Found
    from .checkpoints.store import resolve_checkpoint as resolve_checkpoint
    from .directory import RunDirectory as RunDirectory
    from .directory import check_writable as check_writable
    from .directory import open_run as open_run
    from .directory import run_parent as run_parent
    from .durable import DiskError as DiskError
    from .durable import JsonlWriter as JsonlWriter
    from .durable import cut_rows as cut_rows
    from .durable import disk_errors as disk_errors
    from .durable import make_directory as make_directory
    from .durable import read_jsonl as read_jsonl
    from .durable import remove_file as remove_file
    from .durable import strict_json as strict_json
    from .durable import write_durably as write_durably
    from .history import Best as Best
    from .history import History as History
    from .history import split_metric_name as split_metric_name
    from .lock import RunIsBusy as RunIsBusy
    from .lock import RunLock as RunLock
    from .lock import is_locked as is_locked
    from .log import LogFile as LogFile
    from .log import copied_to as copied_to
    from .provenance import git_state as git_state
    from .provenance import host as host
    from .provenance import versions as versions
    from .record import RunRecord as RunRecord
    from .redaction import redact as redact
    from .redaction import redact_argv as redact_argv
    from .redaction import redact_text as redact_text
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Artifacts": ".artifacts",
            "decode_arrays": ".arrays",
            "encode_arrays": ".arrays",
            "Best": ".history",
            "CheckpointEntry": ".checkpoints.index",
            "CheckpointStore": ".checkpoints.store",
            "DiskError": ".durable",
            "Found": ".checkpoints.store",
            "History": ".history",
            "JsonlWriter": ".durable",
            "LogFile": ".log",
            "RunDirectory": ".directory",
            "RunIsBusy": ".lock",
            "RunLock": ".lock",
            "RunRecord": ".record",
            "check_writable": ".directory",
            "copied_to": ".log",
            "cut_rows": ".durable",
            "disk_errors": ".durable",
            "git_state": ".provenance",
            "host": ".provenance",
            "is_locked": ".lock",
            "make_directory": ".durable",
            "open_run": ".directory",
            "read_jsonl": ".durable",
            "remove_file": ".durable",
            "redact": ".redaction",
            "redact_argv": ".redaction",
            "redact_text": ".redaction",
            "resolve_checkpoint": ".checkpoints.store",
            "run_parent": ".directory",
            "split_metric_name": ".history",
            "strict_json": ".durable",
            "versions": ".provenance",
            "write_durably": ".durable",
        },
    )
