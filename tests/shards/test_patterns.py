import pytest

from labwright.shards import ShardError
from labwright.shards.patterns import expand


def test_ranges_count_and_lists_list() -> None:
    assert expand("a-{008..011}.tar") == ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]
    assert expand("{train,val}-{0..1}.tar") == ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]
    assert expand("plain.tar") == ["plain.tar"] and expand("{7..7}") == ["7"]


@pytest.mark.parametrize("pattern", ["{3..1}", "{}", "{x}", "{a..b}", "{1..}", "{0..9999999999}"])
def test_braces_that_mean_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(ShardError, match="is neither a range such as {000..012} nor a list such as {a,b}"):
        expand(f"data-{pattern}.tar")


def test_more_names_than_there_is_memory_for_are_refused() -> None:
    with pytest.raises(ShardError, match="stands for more than 1,000,000 names"):
        expand("{0..9999}{0..9999}{0..9999}{0..9999}.tar")
    for pattern in ("x" * 9000 + "{0..49999}.tar", "{0..49999}" + "x" * 9000, f"{{{'x' * 9000},y}}{{0..49999}}"):
        with pytest.raises(ShardError, match="stands for names that are too long"):
            expand(pattern)
