"""`Hook`: a reusable extra that hears of every event of a loop."""

from typing import Generic, TypeVar

LoopT = TypeVar("LoopT")


class Hook(Generic[LoopT]):
    """Override what you need; `Hook[MyExperiment]` types `loop`. What is not overridden is not called for batches.

        on_experiment_start         nothing has run yet
        for each epoch              run_experiment
            on_epoch_start          loop.epoch (from 1) begins
            for each dataset        run_epoch
                on_dataset_start    the pass over loop.dataset_name begins
                for each batch      run_dataset
                    on_batch_start  loop.batch is fetched
                    run_batch
                    on_batch_end    loop.batch_metrics is there; what is added to it is averaged too
                on_dataset_end      loop.dataset_metrics is there, in floats
            on_epoch_end            loop.epoch_metrics (dataset -> metric -> value) is there
        on_experiment_end           loop.experiment_metrics (epoch -> dataset -> metric -> value) is there
        on_exception                at any place above, instead of what would have followed

    At a start the experiment comes first, then its hooks in the order of their list. At an end and at an exception the
    hooks come in reverse, then the experiment.
    """

    def on_experiment_start(self, loop: LoopT) -> None: ...
    def on_epoch_start(self, loop: LoopT) -> None: ...
    def on_dataset_start(self, loop: LoopT) -> None: ...
    def on_batch_start(self, loop: LoopT) -> None: ...
    def on_batch_end(self, loop: LoopT) -> None: ...
    def on_dataset_end(self, loop: LoopT) -> None: ...
    def on_epoch_end(self, loop: LoopT) -> None: ...
    def on_experiment_end(self, loop: LoopT) -> None: ...
    def on_exception(self, loop: LoopT, error: BaseException) -> None: ...
