import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from labwright.args import UserError
from labwright.datasets import ShardsDataArgs, Splits, check_overlap, limit
from labwright.shards import ShardError, ShardWriter
from labwright.shards.codecs import BytesCodec
from labwright.train import build_loader

CAT, DOG = 0, 1
Write = Callable[..., Path]


def write(
    path: Path, fields: Sequence[str], samples: dict[str, list[tuple[str, dict[str, Any]]]], **metadata: Any
) -> Path:
    """A dataset of these samples, by split."""
    with ShardWriter(path, fields=list(fields), metadata=metadata, progress=False) as writer:
        for split, rows in samples.items():
            for key, values in rows:
                writer.write(split, key, values)
    return path


def picture(number: int, *size: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, size or (6, 6), dtype=np.uint8)


def pets(path: Path, num_samples: int = 40, splits: Sequence[str] = ("train",), **metadata: Any) -> Path:
    """Grey pictures of cats and dogs, dealt out to the splits in turn."""
    rows = [
        (f"pet{number // 4}_{number:03}", {"png": picture(number), "cls": number % 2}) for number in range(num_samples)
    ]
    dealt = {split: rows[first :: len(splits)] for first, split in enumerate(splits)}
    return write(path, ["png", "cls"], dealt, **({"class_names": ["cat", "dog"]} | metadata))


def built(path: Path, **fields: Any) -> Splits:
    return ShardsDataArgs(path=path, **fields).build(Path("unused"))


def sizes(splits: Splits) -> dict[str, int]:
    return {name: len(part) for name, part in {**splits.train, **splits.val, **splits.test}.items()}


def keys(dataset: Any) -> set[str]:
    return set(dataset.shards.keys)


def test_images_with_classes_are_a_classification(tmp_path: Path) -> None:
    splits = built(pets(tmp_path / "pets"))

    assert (splits.task, splits.num_outputs, splits.class_names) == ("classification", 2, ("cat", "dog"))
    assert (splits.name, splits.is_image, splits.input_shape, len(splits.fingerprint)) == ("pets", True, (1, 6, 6), 64)
    assert sizes(splits) == {"train": 28, "val": 4, "test": 8}
    assert check_overlap(splits, "refuse") == []


def test_a_batch_is_what_was_written(tmp_path: Path) -> None:
    train: Any = built(pets(tmp_path / "pets"), val_fraction=0, test_fraction=0).train["train"]
    batch = train.__getitems__([5, 2])

    images = torch.from_numpy(np.stack([picture(5), picture(2)]))[:, None].float()
    assert batch["input"].allclose((images - train.mean) / train.std)
    assert batch["target"].equal(torch.tensor([DOG, CAT])) and batch["index"].tolist() == [5, 2]
    assert list(batch["name"]) == ["pet1_005", "pet0_002"]
    sample = train[5]
    assert sample["input"].equal(batch["input"][0]) and int(sample["target"]) == DOG and sample["index"] == 5


def test_samples_say_the_same_of_their_origin_wherever_the_data_lies(tmp_path: Path) -> None:
    """Augmentation draws by it, and a copy under another name was augmented in another way."""
    found = []
    for name in ("pets", "copy"):
        train: Any = built(pets(tmp_path / name)).train["train"]
        found.append((train.__getitems__([3, 1])["source"], train[3]["source"], train.fingerprint))
    assert found[0] == found[1] and found[0][0][0] == found[0][1]


def test_pixels_stay_bytes_until_they_are_on_the_device(tmp_path: Path) -> None:
    train: Any = built(pets(tmp_path / "pets")).train["train"]
    assert train.gather([0, 1])["input"].dtype == torch.uint8
    (batch,) = build_loader(train, 100, shuffle=False, seed=0)
    assert batch["input"].dtype == torch.float32 and abs(float(batch["input"].mean())) < 1e-5
    assert abs(float(batch["input"].std(correction=0)) - 1) < 1e-5


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_loaders_take_the_order_of_the_dataset(tmp_path: Path, num_workers: int) -> None:
    train: Any = built(pets(tmp_path / "pets")).train["train"]
    loader = build_loader(train, 8, shuffle=True, seed=3, num_workers=num_workers)
    loader.set_epoch(2)
    batches = list(loader)
    loader.close()
    order = train.permutation(3, 2).positions(0, 28)
    assert torch.cat([batch["index"] for batch in batches]).tolist() == order.tolist()
    assert torch.cat([batch["input"] for batch in batches]).equal(train.__getitems__(order.tolist())["input"])
    assert loader.state_dict()["dataset"] == train.fingerprint


def test_shares_of_sets_that_are_stored_are_told_to_have_no_effect(tmp_path: Path) -> None:
    path = pets(tmp_path / "pets", 60, ("train", "dev"))
    assert built(path, test_fraction=0.5).warnings == ()
    [line] = built(path, val_fraction=0.3).warnings
    assert line == "val_fraction=0.3 has no effect: a validation set is stored, and used as it is."


@pytest.mark.parametrize("stored", [("train", "val", "test"), ("train", "validation"), ("train", "dev"), ("photos",)])
def test_stored_splits_are_used_and_missing_ones_held_out(tmp_path: Path, stored: tuple[str, ...]) -> None:
    splits = built(pets(tmp_path / "pets", 60, stored))
    assert (list(splits.train), list(splits.val), list(splits.test)) == (["train"], ["val"], ["test"])
    assert sum(sizes(splits).values()) == 60
    if len(stored) == 3:
        assert sizes(splits) == {"train": 20, "val": 20, "test": 20}
    assert splits.warnings == ()


def test_a_split_of_another_name_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    splits = built(pets(tmp_path / "pets", splits=("train", "unlabeled")))
    assert sum(sizes(splits).values()) == 20
    assert splits.warnings[0].startswith("the splits 'unlabeled' are not used")


def test_held_out_sets_have_their_share_of_each_class_and_follow_from_the_seed(tmp_path: Path) -> None:
    path = pets(tmp_path / "pets")
    parts = [built(path, split_seed=seed).test["test"] for seed in (0, 0, 1)]
    assert [int(part.labels().sum()) for part in parts] == [4, 4, 4]  # pyright: ignore[reportAttributeAccessIssue]
    assert keys(parts[0]) == keys(parts[1]) != keys(parts[2])


def test_a_group_stays_on_one_side(tmp_path: Path) -> None:
    splits = built(pets(tmp_path / "pets"), group="_")
    sides = [{key.rpartition("_")[0] for key in keys(part)} for part in (*splits.train.values(), *splits.test.values())]
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert check_overlap(splits) == []
    taken: Any = limit(splits.train["train"], 9)
    assert len(taken) == 8, "two whole pets"


def test_equal_samples_in_two_splits_are_found_by_their_bytes(tmp_path: Path) -> None:
    rows = [(str(number), {"png": picture(number), "cls": 0}) for number in range(20)]
    both = {
        "train": rows,
        "val": [("again", rows[3][1]), *[(f"v{i}", {"png": picture(99 + i), "cls": 0}) for i in range(9)]],
    }
    splits = built(write(tmp_path / "both", ["png", "cls"], both), test_fraction=0)
    (warning,) = check_overlap(splits, "allow")
    assert "1 of 10 samples of val have equal contents in train (for example val[0] and train[3])" in warning


def test_samples_of_equal_checksums_that_differ_are_no_overlap(tmp_path: Path) -> None:
    first, second = arrays_of_equal_checksum()
    samples = {
        split: [(split, {"x.npy": array, "y.npy": np.zeros(1)})] for split, array in (("train", first), ("val", second))
    }
    splits = built(write(tmp_path / "chance", ["x.npy", "y.npy"], samples), test_fraction=0)
    rows = [dataset.stored_rows(np.arange(1))[0] for dataset in (splits.train["train"], splits.val["val"])]  # pyright: ignore[reportAttributeAccessIssue]
    assert (rows[0] == rows[1]).all() and check_overlap(splits, "refuse") == []


def arrays_of_equal_checksum() -> tuple[np.ndarray, np.ndarray]:
    """Two that differ, found by trying: among 200,000 there are some."""
    seen: dict[int, np.ndarray] = {}
    for array in np.random.default_rng(0).integers(0, 2**62, (200_000, 1)):
        checksum = zlib.crc32(array.tobytes())  # of what comes behind equal headers
        if checksum in seen:
            return seen[checksum], array
        seen[checksum] = array
    raise AssertionError("none found")


def test_a_limit_keeps_the_shares_of_the_classes(tmp_path: Path) -> None:
    taken: Any = limit(built(pets(tmp_path / "pets")).train["train"], 10)
    assert taken.labels().tolist().count(DOG) == 5 and taken.mean > 0


def test_scaling_and_classes_come_from_the_metadata_or_are_counted(tmp_path: Path) -> None:
    said: Any = built(pets(tmp_path / "said", mean=100, std=50.0)).train["train"]
    assert (said.mean, said.std) == (100, 50)
    splits = built(pets(tmp_path / "counted", class_names=[], mean=[0.4, 0.5, 0.6], std=[1, 1, 1]))
    assert (splits.num_outputs, splits.class_names) == (2, ())
    assert splits.warnings == ("mean and std in the metadata are not one number each, and are not used.",)
    by_field = pets(tmp_path / "by_field", class_names={"cls": ["a", "b", "c"], "other": []})
    assert built(by_field).class_names == ("a", "b", "c")
    assert built(pets(tmp_path / "more", class_names=[]), num_classes=7).num_outputs == 7


def test_images_of_all_sizes_are_fitted_while_they_are_decoded(tmp_path: Path) -> None:
    rows = [(str(i), {"jpg": picture(i, 20 + i, 16, *[3] * (i % 2)), "cls": i % 2}) for i in range(12)]
    path = write(tmp_path / "mixed", ["jpg", "cls"], {"train": rows})

    with pytest.raises(ShardError, match=r"all inputs must be alike, and .*\.jpg is uint8 .* where .*image_size"):
        built(path)
    assert built(path, image_size=8, num_channels=1).input_shape == (1, 8, 8)
    assert built(path, image_size=8, num_channels=3).input_shape == (3, 8, 8)


def test_the_middle_of_an_image_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    rows = [(str(i), {"png": wide, "seg8": (wide > 0).astype(np.uint8)}) for i in range(4)]
    path = write(tmp_path / "wide", ["png", "seg8"], {"train": rows}, class_names=["out", "in"])

    train: Any = built(path, image_size=5, val_fraction=0, test_fraction=0).train["train"]
    batch = train.gather([0])
    assert batch["input"].shape == (1, 1, 5, 5) and (batch["input"] > 160).all(), "no more than its rim is blurred"
    assert (batch["target"] == 1).all()


def test_masks_are_cut_as_their_images_are(tmp_path: Path) -> None:
    image = np.zeros((24, 16), np.uint8)
    image[6:15, 3:9] = 255
    rows = [(str(i), {"png": image, "mask.png": (image > 0).astype(np.uint8)}) for i in range(4)]
    path = write(tmp_path / "boxes", ["png", "mask.png"], {"train": rows})

    splits = built(path, image_size=8, val_fraction=0, test_fraction=0)
    train: Any = splits.train["train"]
    batch = train.gather([0, 1])
    assert (splits.task, splits.num_outputs, batch["target"].shape) == ("segmentation", 2, (2, 8, 8))
    is_inside = batch["input"][:, 0] > 127
    assert (is_inside == (batch["target"] == 1)).float().mean() > 0.9
    assert train.finish(batch)["target"].dtype == torch.int64


@pytest.mark.parametrize(("field", "dtype"), [("seg8", "u1"), ("seg16", "u2"), ("seg32", "u4"), ("rle", "i4")])
def test_masks_of_every_codec_are_a_segmentation(tmp_path: Path, field: str, dtype: str) -> None:
    rows = [(str(i), {"png": picture(i), field: (picture(i) // 100).astype(dtype)}) for i in range(10)]
    splits = built(write(tmp_path / "masks", ["png", field], {"train": rows}))
    (batch,) = build_loader(splits.train["train"], 10, shuffle=False, seed=0)
    assert (splits.task, splits.num_outputs) == ("segmentation", 3)
    assert batch["target"].dtype == torch.int64 and batch["target"].shape == (7, 6, 6)


def test_arrays_with_numbers_are_a_regression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(str(i), {"x.npy": rng.random(5, np.float32), "y.npy": rng.random(2)}) for i in range(20)]
    splits = built(write(tmp_path / "numbers", ["x.npy", "y.npy"], {"train": rows}))
    train: Any = splits.train["train"]
    (batch,) = build_loader(train, 20, shuffle=False, seed=0)
    assert (splits.task, splits.num_outputs, splits.is_image, splits.input_shape) == ("regression", 2, False, (5,))
    assert (train.mean, train.std) == (0, 1) and batch["target"].dtype == torch.float32
    stored = {key: values for key, values in rows}
    assert batch["input"].equal(torch.from_numpy(np.stack([stored[name]["x.npy"] for name in batch["name"]])))


def test_single_numbers_are_one_column(tmp_path: Path) -> None:
    rows = [(str(i), {"x.npy": np.ones(3, np.int16) * i, "y.npy": np.float64(i)}) for i in range(10)]
    splits = built(write(tmp_path / "numbers", ["x.npy", "y.npy"], {"train": rows}), val_fraction=0, test_fraction=0)
    train: Any = splits.train["train"]
    assert splits.num_outputs == 1 and train.mean == 4.5
    assert train.__getitems__([3, 4])["target"].equal(torch.tensor([[3.0], [4.0]]))


def test_a_class_beyond_those_there_are_names_its_sample(tmp_path: Path) -> None:
    """Before a run begins: one with wrong classes in its validation set ended after the first epoch."""
    message = r"'pet0_001\.cls' in .*: class 1, where classes are from 0 to 0; class_names in the metadata has 1, and"
    with pytest.raises(ShardError, match=message):
        built(pets(tmp_path / "pets", class_names=["pet"]))
    rows = {
        split: [(f"{split}{i}", {"png": picture(i), "cls": i % 3 + (split == "val")}) for i in range(9)]
        for split in ("train", "val")
    }
    path = write(tmp_path / "more", ["png", "cls"], rows)
    assert built(path).num_outputs == 4, "those of the validation set count"
    with pytest.raises(ShardError, match=r"'val2\.cls' in .*: class 3, where .* 0 to 2; pass --dataset.num_classes=4"):
        built(path, num_classes=3)


@pytest.mark.parametrize(
    ("classes", "args", "warnings"),
    [
        ([0, 1, 3], {}, ("classes go up to 3, and there is no sample of class 2.",)),
        ([0, 1, 3], {"num_classes": 4}, ()),
        ([0, 9], {}, ("classes go up to 9, and there is no sample of class 1, 2, 3, 4, 5 and 3 more.",)),
        ([1], {}, ("all samples are of class 1, and there is nothing to tell it from.",)),
        ([0, 1], {}, ()),
    ],
)
def test_classes_without_samples_and_lone_ones_are_warned_about(
    tmp_path: Path, classes: list[int], args: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    rows = [(str(i), {"png": picture(i), "cls": classes[i % len(classes)]}) for i in range(12)]
    assert built(write(tmp_path / "odd", ["png", "cls"], {"train": rows}), **args).warnings == warnings


@pytest.mark.parametrize(
    ("fields", "values", "args", "message"),
    [
        (["x.npy", "cls"], {"x.npy": np.ones(2, np.complex64), "cls": 0}, {}, "field 'x.npy' has complex numbers"),
        (["png", "rle"], {"png": picture(0), "rle": np.zeros((0, 0), "u1")}, {"image_size": 4}, "not empty"),
        (["png", "rle"], {"png": picture(0), "rle": np.zeros((2, 6, 6), "u1")}, {"image_size": 4}, r"is \[2, 6, 6\]"),
        (["png", "cls"], {"png": picture(0) > 99, "cls": 0}, {"image_size": 4}, "pass num_channels=1, too"),
        (["png", "cls"], {"png": picture(0), "cls": -1}, {}, "class -1, where classes are from 0 to 0"),
    ],
)
def test_values_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, fields: list[str], values: dict[str, Any], args: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "odd", fields, {"train": [(str(i), values) for i in range(3)]})
    with pytest.raises(ShardError, match=message):
        built(path, **{"val_fraction": 0, "test_fraction": 0} | args)


def test_inputs_of_one_number_are_a_column_and_others_are_alike(tmp_path: Path) -> None:
    rows = [(str(i), {"x.npy": np.float32(i), "cls": 0}) for i in range(3)]
    splits = built(write(tmp_path / "numbers", ["x.npy", "cls"], {"train": rows}), val_fraction=0, test_fraction=0)
    assert splits.input_shape == (1,) and splits.train["train"][2]["input"].tolist() == [2]
    rows += [("3", {"x.npy": np.ones(2, np.float32), "cls": 0})]
    with pytest.raises(ShardError, match=r"and 0\.x\.npy is float32 \[\] where 3\.x\.npy is float32 \[2\]$"):
        built(write(tmp_path / "ragged", ["x.npy", "cls"], {"train": rows}), val_fraction=0, test_fraction=0)


def test_a_mask_with_another_class_names_its_sample(tmp_path: Path) -> None:
    rows = [(str(i), {"png": picture(i), "seg8": np.full((6, 6), i, np.uint8)}) for i in range(4)]
    path = write(tmp_path / "masks", ["png", "seg8"], {"train": rows}, class_names=["a", "b", "c"])
    train: Any = built(path, val_fraction=0, test_fraction=0).train["train"]
    with pytest.raises(ShardError, match=r"'3\.seg8' in .*: class 3, where classes are from 0 to 2"):
        train.__getitems__([0, 3])


def test_numbers_that_may_be_no_classes_are_asked_about(tmp_path: Path) -> None:
    """A class of 4 billion would ask for a model of that size."""
    rows = [(str(i), {"png": picture(i), "cls": 2**32 + i}) for i in range(9)]
    with pytest.raises(ShardError, match="has 9 samples with classes up to 4294967304, which may be no classes; if"):
        built(write(tmp_path / "ids", ["png", "cls"], {"train": rows}))


def test_a_folder_may_be_the_one_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pets(tmp_path / "pets"))
    assert built(Path(".")).name == "pets"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fields": ["jpg", "cls"]}, "no such field.*jpg.*did you mean png"),
        ({"fields": ["png", "png"]}, "'png' is both the input and the target"),
        ({"fields": ["cls", "png"]}, "the field 'cls' is no input"),
        ({"num_classes": 3}, "num_classes=3, and the metadata of .* names 2"),
        ({"group": "/"}, "the key 'pet0_000' has no '/'"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave nothing to train on"),
        ({"path": Path("nowhere")}, "nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = pets(tmp_path / "pets")
    with pytest.raises(UserError, match=message) as caught:
        ShardsDataArgs(**({"path": path} | fields)).build(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_codec_of_ones_own_is_for_an_experiment_of_ones_own(tmp_path: Path) -> None:
    rows = [(str(i), {"wave": b"x", "cls": 0}) for i in range(3)]
    codecs = {"wave": type("WaveCodec", (BytesCodec,), {"names": ("wave",)})()}
    with ShardWriter(tmp_path / "waves", fields=["wave", "cls"], codecs=codecs, progress=False) as writer:
        for key, values in rows:
            writer.write("train", key, values)
    with pytest.raises(ShardError, match=r"the field 'wave' of .* has no codec .* in the build_datasets\(\) of an"):
        built(tmp_path / "waves")


def test_fields_have_to_be_chosen_among_more_than_two(tmp_path: Path) -> None:
    rows = [("a", {"png": picture(0), "cls": 0, "txt": "a cat"})]
    path = write(tmp_path / "three", ["png", "cls", "txt"], {"train": rows})
    with pytest.raises(ShardError, match=r"""say which .* example --dataset.fields='\["png", "cls"\]'$"""):
        built(path)
    with pytest.raises(ShardError, match="the field 'txt' is no target"):
        built(path, fields=["png", "txt"])
    assert built(path, fields=["png", "cls"], val_fraction=0, test_fraction=0).num_outputs == 1


@pytest.mark.parametrize(
    ("fields", "target", "task"),
    [
        (["cls", "png"], "cls", "classification"),
        (["npy", "jpg"], "npy", "regression"),
        (["a.seg8", "png"], "a.seg8", "segmentation"),
    ],
)
def test_the_only_two_fields_are_found_in_either_order(
    tmp_path: Path, fields: list[str], target: str, task: str
) -> None:
    values = {"cls": 0, "npy": np.ones(1, np.float32), "a.seg8": picture(0) % 2, "png": picture(0), "jpg": picture(0)}
    rows = [(str(i), {field: values[field] for field in fields}) for i in range(10)]
    splits = built(write(tmp_path / "two", fields, {"train": rows}))
    train: Any = splits.train["train"]
    assert (train.shards.fields["target"], splits.task) == (target, task)


def test_two_fields_of_tars_that_may_be_either_are_asked_about(tmp_path: Path) -> None:
    """WebDataset writes them in the order of their names: a mask may come before its image."""
    rows = [(str(i), {"mask.png": picture(i) % 2, "png": picture(i), "cls": 1}) for i in range(4)]
    path = write(
        tmp_path / "pairs",
        ["mask.png", "png"],
        {"train": [(key, {k: v for k, v in row.items() if k != "cls"}) for key, row in rows]},
    )
    assert built(path, val_fraction=0, test_fraction=0).num_outputs > 2, "in the order they were written"
    for manifest in path.glob("dataset.json"):
        manifest.unlink()
    with pytest.raises(ShardError, match="has the fields mask.png, png: say which is the input and which the target"):
        built(path)


def test_no_training_set_among_the_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no split called train; it has a, b"):
        built(pets(tmp_path / "a", splits=("a", "b")))
    with pytest.raises(ShardError, match="'val' and 'dev' are both splits for val"):
        built(pets(tmp_path / "b", splits=("train", "val", "dev")))


def test_other_shards_and_pictures_can_be_predicted(tmp_path: Path) -> None:
    path = pets(tmp_path / "pets")
    args = ShardsDataArgs(path=path)
    splits = args.build(tmp_path)
    other = write(tmp_path / "new", ["png"], {"new": [("x", {"png": picture(1)})]})
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(picture(1)).save(folder / "x.png")

    expected = (torch.from_numpy(picture(1)).float()[None] - splits.train["train"].mean) / splits.train["train"].std  # pyright: ignore[reportAttributeAccessIssue]
    for found in (other, folder, next(other.glob("*.tar")), other / "new"):
        inputs: Any = args.open_inputs(found, splits)
        sample = inputs.__getitems__([0])
        assert len(inputs) == 1 and "target" not in sample
        assert sample["input"][0].allclose(expected)


def test_shards_that_cannot_be_predicted_are_refused(tmp_path: Path) -> None:
    args = ShardsDataArgs(path=pets(tmp_path / "pets"))
    splits = args.build(tmp_path)
    with pytest.raises(ShardError, match="has the splits train, val; name one, such as .*/two/val$"):
        args.open_inputs(pets(tmp_path / "two", splits=("train", "val")), splits)
    with pytest.raises(ShardError, match='two has no such split: "test" is not one of train, val'):
        args.open_inputs(tmp_path / "two" / "test", splits)
    with pytest.raises(ShardError, match="nowhere does not exist; name shards, an image, or a folder of images"):
        args.open_inputs(tmp_path / "none" / "nowhere", splits)
    larger = write(tmp_path / "large", ["png"], {"new": [("x", {"png": picture(1, 8, 8)})]})
    with pytest.raises(ShardError, match=r"its inputs are \[1, 8, 8\], those trained on \[1, 6, 6\]"):
        args.open_inputs(larger, splits)
