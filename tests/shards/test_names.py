import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.shards import ShardError
from labwright.shards.names import check_field, check_key, check_split, split_name


@pytest.mark.parametrize("key", ["a", "cat/0001", "a b", "größe/1", "x.y/z", "..a/b", "a__", "-", "日本", "a/..b/c"])
def test_key_is_accepted_and_cut_off_again(key: str) -> None:
    check_key(key)
    assert split_name(f"{key}.left.jpg") == (key, "left.jpg")


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("", "is empty"),
        ("/etc/passwd", "has an empty part, . or .."),
        ("a//b", "has an empty part, . or .."),
        ("a/", "has an empty part, . or .."),
        ("../a", "has an empty part, . or .."),
        ("a/../b", "has an empty part, . or .."),
        (".", "has an empty part, . or .."),
        ("a.b", "has a dot in 'a.b', where the field begins"),
        ("x/.hidden", "has a dot in '.hidden'"),
        ("a\\b", "has a backslash or a control character"),
        ("a\nb", "has a backslash or a control character"),
        ("a\0", "has a backslash or a control character"),
        ("a\x85b", "has a backslash or a control character"),
        ("__meta__", "begins with __, which WebDataset skips"),
        ("a\udc80", "is no valid Unicode"),
    ],
)
def test_bad_key_is_refused_with_the_reason(key: str, what: str) -> None:
    with pytest.raises(ShardError) as refused:
        check_key(key)
    assert what in str(refused.value) and "\n" not in str(refused.value)


def test_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ShardError, match="a key is a text, not int 3"):
        check_key(3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("field", ["jpg", "left.jpg", "seg-16.png", "a_b.c", "JPG"])
def test_field_is_accepted(field: str) -> None:
    check_field(field)


@pytest.mark.parametrize("field", ["", ".jpg", "jpg.", "a..b", "a/b", "a b", "jpg\n", "ü", "x" * 65])
def test_bad_field_is_refused(field: str) -> None:
    with pytest.raises(ShardError, match="a field cannot be called"):
        check_field(field)


@pytest.mark.parametrize("split", ["", "a-b", "a/b", "..", "x" * 65, "train\n", "a.b"])
def test_bad_split_is_refused(split: str) -> None:
    check_split("val_2")
    with pytest.raises(ShardError, match="a split cannot be called"):
        check_split(split)


def test_name_without_a_dot_has_no_field() -> None:
    assert split_name("a.b/c") == ("a.b/c", "")


@given(st.text(max_size=20))
def test_accepted_key_survives_a_name_and_a_blob(key: str) -> None:
    try:
        check_key(key)
    except ShardError:
        return
    assert split_name(f"{key}.a.b") == (key, "a.b")
    assert "\n" not in key and key.encode().decode() == key and not key.startswith("/")
