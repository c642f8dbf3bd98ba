"""What can be wrong with the processes that load data. No torch."""


class WorkerDied(RuntimeError):
    """A worker process has ended without having been told to."""


class BatchOverdue(RuntimeError):
    """The run is to stop, and the batch that it waits for does not come."""
