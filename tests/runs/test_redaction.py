import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.redaction import MASK, redact, redact_argv, redact_text


@pytest.mark.parametrize(
    "name",
    ["wandb_api_key", "apiKey", "API_KEY", "hf-token", "accessToken", "password", "db.password", "client_secret"],
)
def test_a_field_named_like_a_secret_is_masked(name: str) -> None:
    assert redact({"machine": {name: "s3cr3t"}}) == {"machine": {name: MASK}}


@pytest.mark.parametrize("name", ["tokenizer", "keypoints", "wandb_project", "keyboard", "passes"])
def test_a_field_that_only_resembles_a_secret_is_kept(name: str) -> None:
    assert redact({name: "text"}) == {name: "text"}


def test_numbers_are_masked_only_in_passwords() -> None:
    value = {"token_accuracy": 0.9, "num_keys": 3, "password": 1234, "use_token": True, "api_key": None}
    assert redact(value) == value | {"password": MASK}


def test_lists_and_mappings_below_a_secret_name_are_masked_whole() -> None:
    assert redact({"tokens": ["a", "b"], "secrets": {"user": "me"}}) == {"tokens": MASK, "secrets": MASK}


def test_a_known_secret_is_masked_inside_longer_texts_and_names() -> None:
    value = {"url": "https://me:hunter22@host/", "words": ["hunter22", ("x-hunter22",)], "hunter22": 1}
    expected = {"url": f"https://me:{MASK}@host/", "words": [MASK, [f"x-{MASK}"]], MASK: 1}
    assert redact(value, ["hunter22"]) == expected


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    assert redact_text("key=abcdefgh", ["abcd", "abcdefgh"]) == f"key={MASK}"


def test_an_empty_or_tiny_secret_does_not_make_text_unreadable() -> None:
    assert redact_text("epoch 1 of 11", ["", "1"]) == "epoch 1 of 11"


def test_typed_flags_lose_their_secrets_in_both_spellings() -> None:
    argv = ["run.py", "--wandb-api-key=abc", "--token", "def", "--use_key", "--epochs=3", "x-hunter22"]
    expected = ["run.py", f"--wandb-api-key={MASK}", "--token", MASK, "--use_key", "--epochs=3", f"x-{MASK}"]
    assert redact_argv(argv, ["hunter22"]) == expected


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_no_known_secret_is_left_anywhere(value: object) -> None:
    assert "hunter22" not in repr(redact({"a": [value, "hunter22"], "hunter22": value}, ["hunter22"]))
