"""Objects have the ids that git gives them."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.code.objects import object_id


@given(st.binary(max_size=200))
def test_object_ids_are_those_of_git(content: bytes) -> None:
    expected = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True).stdout
    assert object_id(content, "0" * 40) == expected.decode().strip()
