from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from labwright.runs.plots import plot_image_rows

Texts = Callable[[Path], list[str]]


def test_rows_have_their_names_and_notes(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "denoised.svg"
    clean = digits.images[:3]
    rows = {"Clean": clean, "Noisy": clean + 0.2, "Denoised $": clean}
    plot_image_rows(rows, path, "denoising", notes={"Noisy": ["7.7 dB", "8.6 dB", "8.9 dB"]})
    assert {"denoising", "Clean", "Noisy", "Denoised $", "7.7 dB", "8.6 dB", "8.9 dB"} <= set(texts(path))


def test_first_row_sets_the_scale_so_noise_does_not_darken_the_others(tmp_path: Path, digits: Any) -> None:
    """With one scale over all rows, noise outside 0 to 1 would turn the clean images grey on grey."""
    alone, beside_noise = tmp_path / "alone.png", tmp_path / "beside.png"
    clean = digits.images[:2]
    plot_image_rows({"Clean": clean, "Noisy": clean}, alone, "t")
    plot_image_rows({"Clean": clean, "Noisy": np.full_like(clean, 9.0)}, beside_noise, "t")
    half = imread(alone).shape[0] // 2
    assert (imread(alone)[:half] == imread(beside_noise)[:half]).all()


def test_more_columns_than_fit_are_counted(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "rows.svg"
    notes = {"Clean": [f"sample {index}" for index in range(64)]}
    plot_image_rows({"Clean": digits.images[:64]}, path, "t", notes=notes)
    shown = texts(path)
    assert "the first 10 of 64" in shown
    assert "sample 9" in shown and "sample 10" not in shown


def test_rows_may_differ_in_size_and_colour(tmp_path: Path, digits: Any) -> None:
    path = tmp_path / "rows.png"
    image = digits.images[:1]
    plot_image_rows({"Small": image[:, ::2, ::4], "Colour": np.stack([image] * 3, axis=1)}, path, "one image")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_broken_rows_are_named_and_no_rows_say_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "rows.svg"
    plot_image_rows({"Clean": np.zeros((2, 4, 4)), "Denoised": np.full((2, 4, 4), np.nan)}, path, "t")
    assert "Denoised: 2 of 2 with values that are not finite (purple)" in " ".join(texts(path))
    for rows in ({}, {"Clean": np.zeros((0, 4, 4))}):
        plot_image_rows(rows, path, "t")
        assert "No images to show" in texts(path)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    three, two = np.zeros((3, 4, 4)), np.zeros((2, 4, 4))
    with pytest.raises(ValueError, match="as many images as the others, not {'Clean': 3, 'Noisy': 2}"):
        plot_image_rows({"Clean": three, "Noisy": two}, tmp_path / "a.png", "t")
    with pytest.raises(ValueError, match=r"notes\['Noisy'\]: 1 notes for 2 images"):
        plot_image_rows({"Noisy": two}, tmp_path / "a.png", "t", notes={"Noisy": ["7 dB"]})
    with pytest.raises(ValueError, match=r"notes\['Typo'\]: 2 notes for 0 images"):
        plot_image_rows({"Noisy": two}, tmp_path / "a.png", "t", notes={"Typo": ["7 dB", "8 dB"]})
    with pytest.raises(ValueError, match=r"rows\['Flat'\] must be \[n, H, W\]"):
        plot_image_rows({"Flat": np.zeros((3, 64))}, tmp_path / "a.png", "t")
