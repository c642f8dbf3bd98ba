from itertools import combinations

from labwright.runs.plots.looks import class_look, line_style, looks_of


def test_splits_differ_in_colour_and_in_marker_or_dash() -> None:
    splits = ["train", "train_b", "train_c", "train_d", *(f"set_{index}" for index in range(10)), "test", "test_b"]
    for dense in (False, True):
        styles = [line_style(look, dense) for look in looks_of(splits).values()]
        for one, other in combinations(styles, 2):
            assert one["color"] != other["color"]
            assert (one["marker"], one["linestyle"]) != (other["marker"], other["linestyle"])


def test_looks_do_not_change_when_the_test_value_arrives() -> None:
    before = looks_of(["train", "val", "val_b"])
    after = looks_of(["train", "val", "val_b", "test"])
    assert before.items() <= after.items()


def test_many_sets_of_one_kind_start_over_with_the_first_look() -> None:
    looks = looks_of([f"val_{index}" for index in range(21)])
    assert looks["val_0"] == looks["val_10"] == looks["val_20"]


def test_classes_differ_in_colour_or_mark() -> None:
    looks = [class_look(label) for label in range(84)]
    assert len({(look.color, look.marker) for look in looks}) == 84
    assert len({look.color for look in looks[:12]}) == 12
