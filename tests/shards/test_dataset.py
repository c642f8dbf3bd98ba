import os
import pickle
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from labwright.datasets import JoinedDataset, Splits, ZippedDataset, check_overlap
from labwright.shards import ShardDataset, ShardError, ShardWriter, open_dataset
from labwright.shards.codecs import ClsCodec, Codec
from labwright.train import build_loader
from tests.shards.conftest import NUM_TRAIN, label, values

EVERYTHING = list(range(NUM_TRAIN))


class Shouted(Codec):
    """Text in capitals; made for these tests."""

    names = ("loud",)

    def encode(self, value: str) -> bytes:
        return value.lower().encode()

    def decode(self, data: bytes | memoryview) -> str:
        if bytes(data) == b"bug":
            raise KeyError("bug")
        if bytes(data) == b"bad":
            raise ValueError("nobody shouts that")
        return str(data, "utf-8").upper()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six grey images: five of 4 x 5 pixels and, last, one of 2 x 2; with a text each."""
    with ShardWriter(tmp_path / "pictures", ["png", "txt"], progress=False) as writer:
        for number in range(6):
            shape = (4, 5) if number < 5 else (2, 2)
            image = np.full(shape, number, np.uint8)
            writer.write("train", f"p{number}", {"png": image, "txt": f"text {number}"})
    return tmp_path / "pictures"


def test_batch_holds_what_was_written_in_the_order_asked_for(numbers: Path) -> None:
    dataset = ShardDataset(numbers, fields={"input": "npy", "target": "cls"})
    batch = dataset.__getitems__([7, 0, 7, 3])

    assert list(batch) == ["input", "target", "index", "source", "name"]
    assert torch.equal(batch["input"], torch.from_numpy(np.stack([values(n) for n in (7, 0, 7, 3)])))
    assert batch["target"].tolist() == [label(n) for n in (7, 0, 7, 3)]
    assert batch["target"].dtype == batch["index"].dtype == torch.int64
    assert batch["index"].tolist() == [7, 0, 7, 3]
    assert batch["name"] == [f"train/{n:03d}" for n in (7, 0, 7, 3)]
    assert batch["source"] == [dataset.source] * 4


@pytest.mark.parametrize("indices", [np.array([9, 1]), torch.tensor([9, 1]), [9, 1]])
def test_positions_may_be_a_list_an_array_or_a_tensor(numbers: Path, indices: Any) -> None:
    assert ShardDataset(numbers).__getitems__(indices)["cls"].tolist() == [label(9), label(1)]


@pytest.mark.parametrize("indices", [[True] * 10, torch.tensor([1.0, 2.0]), [0.5], [[1, 2]]])
def test_what_is_no_row_of_positions_is_refused(numbers: Path, indices: Any) -> None:
    with pytest.raises(ShardError, match="positions are a row of whole numbers, not"):
        ShardDataset(numbers).subset(indices)


def test_samples_equal_their_batch(numbers: Path) -> None:
    dataset = ShardDataset(numbers)
    batch = dataset.__getitems__(EVERYTHING)

    samples = list(dataset)
    assert len(samples) == len(dataset) == NUM_TRAIN
    for row, sample in enumerate(samples):
        assert sample.keys() == batch.keys()
        assert torch.equal(sample["npy"], batch["npy"][row])
        assert (sample["cls"], sample["index"], sample["name"]) == (label(row), row, batch["name"][row])


def test_empty_batch_is_empty(numbers: Path) -> None:
    assert [len(column) for column in ShardDataset(numbers).__getitems__([]).values()] == [0] * 5


def test_split_without_samples_is_read(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "none", ["npy"], splits=["train"], progress=False):
        pass
    dataset = ShardDataset(tmp_path / "none")
    assert (len(dataset), list(dataset), len(dataset.column("npy"))) == (0, [], 0)


def test_positions_outside_are_refused(numbers: Path) -> None:
    dataset = ShardDataset(numbers)
    with pytest.raises(IndexError, match="sample 10 of 10"):
        dataset.__getitems__([3, 10])
    with pytest.raises(IndexError, match="sample -1 of 10"):
        dataset[-1]


@pytest.mark.parametrize("index", ["train/003", slice(0, 3), 1.5, None, [1, 2]])
def test_what_is_no_position_is_refused_in_one_line(numbers: Path, index: Any) -> None:
    with pytest.raises(TypeError, match="asked for by its position, a whole number, not by") as caught:
        ShardDataset(numbers)[index]
    assert "\n" not in str(caught.value)


def test_position_may_be_a_number_of_numpy(numbers: Path) -> None:
    assert ShardDataset(numbers)[cast(Any, np.int64(3))]["index"] == 3


def test_torch_loader_is_told_how_it_takes_batches(numbers: Path) -> None:
    dataset = ShardDataset(numbers)
    with pytest.raises(ShardError, match="torch's DataLoader takes it as it is with collate_fn=dict"):
        next(iter(DataLoader(cast(Any, dataset), batch_size=4)))
    joined = torch.utils.data.ConcatDataset([cast(Any, dataset), cast(Any, dataset)])
    assert next(iter(DataLoader(joined, batch_size=4)))["index"].tolist() == [0, 1, 2, 3]
    with pytest.raises(KeyError):
        dataset.__getitems__([0])["jpg"]


def test_what_has_one_shape_is_stacked_and_what_has_not_is_a_list(pictures: Path) -> None:
    dataset = ShardDataset(pictures)

    assert dataset.__getitems__([4, 2])["png"].shape == (2, 4, 5)
    assert dataset.__getitems__([4, 2])["png"][:, 0, 0].tolist() == [4, 2]
    mixed = dataset.__getitems__([5, 0, 1])
    assert [tuple(each.shape) for each in mixed["png"]] == [(2, 2), (4, 5), (4, 5)]
    assert [int(each[0, 0]) for each in mixed["png"]] == [5, 0, 1]
    assert mixed["txt"] == ["text 5", "text 0", "text 1"]


@pytest.mark.parametrize("num_threads", [1, 8, "auto"])
def test_threads_change_nothing(pictures: Path, num_threads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.decoding.num_cores", lambda: 3)
    before = threading.enumerate()
    dataset = ShardDataset(pictures, num_threads=num_threads)

    for _ in range(3):
        assert dataset.__getitems__([4, 0, 3, 1, 2])["png"][:, 0, 0].tolist() == [4, 0, 3, 1, 2]
    threads = [each for each in threading.enumerate() if each not in before]
    assert len(threads) <= (0 if num_threads == 1 else 3)
    dataset.close()
    assert not [each for each in threads if each.is_alive()]


def test_batch_that_somebody_holds_is_not_written_over(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.decoding.WORTH_KEEPING", 0)
    dataset = ShardDataset(pictures)

    held = [dataset.__getitems__([number, number])["png"] for number in range(4)]
    part = dataset.__getitems__([0, 1])["png"][1]
    places = {dataset.__getitems__([3, 3])["png"].data_ptr() for _ in range(3)}
    assert len(places) == 1
    assert [image.unique().tolist() for image in held] == [[0], [1], [2], [3]]
    assert part.unique().tolist() == [1]


def test_raw_gives_the_bytes_but_for_fields_with_a_codec(pictures: Path) -> None:
    sample = ShardDataset(pictures, raw=True, codecs={"txt": "txt"})[0]
    assert sample["png"][:4] == b"\x89PNG"
    assert sample["txt"] == "text 0"


def test_own_codec_is_used_and_its_errors_name_the_sample(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "own", ["loud"], codecs={"loud": Shouted()}, progress=False) as writer:
        for key, value in (("a", "Hello"), ("b", "bad"), ("c", "bug")):
            writer.write("train", key, {"loud": value})
    dataset = ShardDataset(tmp_path / "own", codecs={"loud": Shouted()})

    assert dataset[0]["loud"] == "HELLO"
    with pytest.raises(ShardError, match=r"^'b.loud' in .*/train-000000.tar: nobody shouts that$"):
        dataset.__getitems__([0, 1])
    with pytest.raises(KeyError) as caught:
        dataset[2]
    assert caught.value.__notes__ == ["'c.loud' in own/train-000000.tar: by Shouted"]


def test_functions_are_mapped_over_values_and_samples_in_their_order(numbers: Path) -> None:
    dataset = ShardDataset(numbers, fields={"input": "npy", "target": "cls"})
    mapped = dataset.map(input=lambda array: array * 2, target=str).map(
        lambda sample: {"sum": sample["input"].sum(), "word": sample["target"] + sample["name"], "index": 99}
    )
    batch = mapped.__getitems__([2, 1])

    assert batch.keys() == {"sum", "word", "index", "source", "name"}
    assert batch["sum"].tolist() == [2 * values(2).sum(), 2 * values(1).sum()]
    assert batch["word"] == ["2train/002", "1train/001"]
    assert batch["index"].tolist() == [2, 1]
    assert mapped[1]["sum"] == batch["sum"][1]
    assert dataset[1].keys() == {"input", "target", "index", "source", "name"}
    assert not mapped.draws_random_numbers
    assert dataset.map(target=str, draws_random_numbers=True).map(input=abs).draws_random_numbers


def test_mapping_goes_wrong_in_one_line(numbers: Path) -> None:
    dataset = ShardDataset(numbers)
    with pytest.raises(ShardError, match=r'"nyp" is not one of npy, cls; did you mean npy\?'):
        dataset.map(nyp=abs)
    with pytest.raises(ShardError, match="this one returned a int"):
        dataset.map(lambda sample: 3)[0]  # type: ignore[arg-type, return-value]
    with pytest.raises(ShardError, match="one has 'a', another 'b'"):
        dataset.map(lambda sample: {"ab"[sample["index"]]: 1}).__getitems__([0, 1])
    with pytest.raises(ZeroDivisionError) as caught:
        dataset.map(cls=lambda number: 1 // number)[0]
    assert caught.value.__notes__ == [f"in the map of cls 'train/000' of {dataset.source}"]


def test_subset_remembers_where_its_samples_come_from(numbers: Path) -> None:
    dataset = ShardDataset(numbers)
    part = dataset.subset([8, 3, 5]).subset([2, 0])

    assert (len(part), part.source_indices.tolist()) == (2, [5, 8])
    assert list(part.keys) == ["train/005", "train/008"]
    assert part.__getitems__([1, 0])["cls"].tolist() == [label(8), label(5)]
    assert part.__getitems__([1, 0])["index"].tolist() == [1, 0]
    assert part.fingerprint != dataset.fingerprint == ShardDataset(numbers).fingerprint
    assert len(dataset) == NUM_TRAIN


def test_take_draws_of_each_class_in_proportion(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "many", ["cls"], progress=False) as writer:
        for number in range(100):
            writer.write("train", f"{number:03d}", {"cls": 0 if number < 70 else 1 if number < 90 else 2})
    dataset = ShardDataset(tmp_path / "many")

    taken = dataset.take(10, seed=3)
    assert np.bincount(taken.column("cls")).tolist() == [7, 2, 1]
    assert taken.source_indices.tolist() == dataset.take(10, seed=3).source_indices.tolist()
    assert taken.source_indices.tolist() != dataset.take(10, seed=4).source_indices.tolist()
    assert len(set(dataset.take(99).source_indices.tolist())) == 99
    assert dataset.take(1000) is dataset
    assert ShardDataset(tmp_path / "many", limit=10).source_indices.tolist() == dataset.take(10).source_indices.tolist()
    with pytest.raises(ShardError, match="at least 1 sample"):
        dataset.take(0)


def test_column_reads_one_value_of_all(numbers: Path) -> None:
    dataset = ShardDataset(numbers, fields={"target": "cls", "input": "npy"})
    assert dataset.column("target").tolist() == [label(n) for n in EVERYTHING]
    assert dataset.column("input").shape == (NUM_TRAIN, 2, 3)
    assert dataset.subset([4]).column("target").tolist() == [label(4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, r'"tset" is not one of train, val'),
        ({"fields": ["npy", "jgp"]}, r'"jgp" is not one of npy, cls'),
        ({"fields": "npy"}, r"write \['npy'\]"),
        ({"fields": []}, "no fields are chosen; .* has npy, cls"),
        ({"fields": {"index": "cls"}}, "a field cannot be called 'index'.*my_index"),
        ({"codecs": {"jpg": "jpg"}}, "codecs: no such field is read"),
        ({"codecs": {"cls": ClsCodec}}, r"the codec of 'cls' is .*, not the class; give an instance: ClsCodec\(\)"),
        ({"codecs": {"cls": 7}}, "the codec of 'cls' is a name or an instance of a subclass of Codec, not 7"),
        ({"codecs": {"cls": "clss"}}, "the field 'cls' of .* cannot be decoded: no codec is called 'clss'"),
        ({"verify": "Read"}, '"Read" is not one of open, read, off'),
        ({"num_threads": 0}, "num_threads has to be at least 1"),
        ({"limit": 0}, "at least 1 sample"),
    ],
)
def test_wrong_choice_is_refused_in_one_line(numbers: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardError, match=message) as caught:
        ShardDataset(numbers, **options)
    assert "\n" not in str(caught.value)


def test_pickle_is_read_only_when_code_says_so(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "pickled", ["pkl"], codecs={"pkl": "bytes"}, progress=False) as writer:
        writer.write("train", "a", {"pkl": pickle.dumps({"x": 1})})

    assert ShardDataset(tmp_path / "pickled")[0]["pkl"] == pickle.dumps({"x": 1})
    with pytest.raises(ShardError, match="unsafe=True"):
        ShardDataset(tmp_path / "pickled", codecs={"pkl": "pkl"})
    assert ShardDataset(tmp_path / "pickled", codecs={"pkl": "pkl"}, unsafe=True)[0]["pkl"] == {"x": 1}


def test_opened_dataset_serves_several_splits(numbers: Path) -> None:
    opened = open_dataset(numbers)
    train, val = (ShardDataset(opened, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (10, 3)
    assert train.metadata == {"class_names": ["a", "b", "c"]}
    assert train.source != val.source


def test_overlap_is_seen_between_parts_and_between_equal_contents(numbers: Path, tmp_path: Path) -> None:
    dataset = ShardDataset(numbers)
    with pytest.raises(ValueError, match="train and val share 1 samples of numbers/train"):
        check_overlap(_splits(dataset.subset([0, 1, 2]), ShardDataset(numbers).subset([2, 3])))
    assert check_overlap(_splits(dataset.subset([0, 1]), dataset.subset([2, 3]))) == []

    with ShardWriter(tmp_path / "other", ["npy", "cls"], progress=False) as writer:
        for number in (0, 77):
            writer.write("train", f"copy{number}", {"npy": values(number), "cls": label(number)})
    with pytest.raises(ValueError, match="1 of 2 samples of val have equal contents in train"):
        check_overlap(_splits(dataset, ShardDataset(tmp_path / "other")))


def _splits(train: Any, val: Any) -> Splits:
    return Splits(name="numbers", train={"train": train}, val={"val": val})


def test_shards_are_zipped_and_joined(numbers: Path) -> None:
    train, val = (ShardDataset(numbers, split, {"input": "npy", "target": "cls"}) for split in ("train", "val"))
    zipped = ZippedDataset(seed=0, labeled=train, unlabeled=val)
    batch = zipped.__getitems__(EVERYTHING)
    assert sorted(batch["source_index"]) == EVERYTHING != batch["source_index"].tolist()
    assert batch["unlabeled_target"].tolist() == [label(int(n)) for n in batch["unlabeled_index"]]

    joined = JoinedDataset({"train": train, "val": val}, interleave="shuffle", seed=0)
    batch = joined.__getitems__(list(range(13)))
    names = [f"{source}/{int(n):03d}" for source, n in zip(batch["source"], batch["source_index"], strict=True)]
    assert batch["name"] == names
    assert len(set(names)) == 13


def test_loader_shuffles_and_gives_every_sample_once(numbers: Path) -> None:
    loader = build_loader(ShardDataset(numbers), 4, shuffle=True, seed=1)
    batches = list(loader)
    assert [len(batch["cls"]) for batch in batches] == [4, 4, 2]
    given = torch.cat([batch["index"] for batch in batches]).tolist()
    assert sorted(given) == EVERYTHING != given
    assert torch.cat([batch["cls"] for batch in batches]).tolist() == [label(n) for n in given]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [2, 4])
def test_workers_of_our_loader_change_nothing(pictures: Path, num_workers: int) -> None:
    dataset = ShardDataset(pictures).subset([0, 1, 2, 3, 4])
    dataset.__getitems__([0, 1])  # shards are open and threads may run when the workers are forked
    here = list(build_loader(dataset, 2, shuffle=True, seed=1))
    loader = build_loader(dataset, 2, shuffle=True, seed=1, num_workers=num_workers)
    there = list(loader)
    loader.close()
    _assert_equal(here, there)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there are processors
@pytest.mark.parametrize(("start_method", "num_workers"), [("fork", 2), ("spawn", 1)])
def test_torch_loader_reads_the_same_in_workers(pictures: Path, start_method: str, num_workers: int) -> None:
    dataset = ShardDataset(pictures, verify="read").subset([0, 1, 2, 3, 4])
    dataset.__getitems__([0, 1])
    here = list(DataLoader(dataset, batch_size=2, collate_fn=dict))
    options: Any = {"num_workers": num_workers, "multiprocessing_context": start_method}
    _assert_equal(here, list(DataLoader(dataset, batch_size=2, collate_fn=dict, **options)))


def _assert_equal(some: list[Any], others: list[Any]) -> None:
    assert len(some) == len(others) == 3
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one["png"], other["png"])
        assert torch.equal(one["index"], other["index"])
        assert (one["txt"], one["name"]) == (other["txt"], other["name"])
        assert type(other["name"]) in (list, type(one["name"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="asks for a fork")
def test_threads_from_before_a_fork_are_not_waited_for(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.decoding.num_cores", lambda: 2)
    context = torch.multiprocessing.get_context("fork")
    dataset = ShardDataset(pictures)
    dataset.__getitems__([0, 1, 2])
    ours, theirs = context.Pipe()
    child = context.Process(
        target=lambda: theirs.send(dataset.__getitems__([4, 2, 0])["png"][:, 0, 0].tolist()), daemon=True
    )
    child.start()
    assert ours.poll(600)
    assert ours.recv() == [4, 2, 0]
    child.join()


def test_pickled_dataset_reads_the_same(pictures: Path) -> None:
    dataset = ShardDataset(pictures).subset([3, 1])
    dataset.__getitems__([0])
    again = pickle.loads(pickle.dumps(dataset))
    assert again.__getitems__([0, 1])["png"][:, 0, 0].tolist() == [3, 1]
    assert pickle.loads(pickle.dumps(dataset.__getitems__([1])))["name"] == ["p1"]


def test_names_of_a_batch_are_like_a_list(numbers: Path) -> None:
    names = ShardDataset(numbers).__getitems__([2, 0, 1])["name"]
    assert (len(names), names[0], names[-1]) == (3, "train/002", "train/001")
    assert names[1:] == ["train/000", "train/001"] == list(names[1:])
    assert names[1:] == names[1:] and "train/000" in names
    assert repr(names[:1]) == "['train/002']"
