from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seewhy.evidence.properties import spectra
from seewhy.evidence.properties.colour import luminance
from tests.evidence.properties.test_catalogue import scenes

Floats = NDArray[np.float64]


def swapped(recipient: Floats, donor: Floats, share: float) -> Floats:
    """Yang & Soatto's own procedure: the amplitudes in a window about the shifted centre."""
    own, other = (np.fft.fft2(image, axes=(-2, -1)) for image in (recipient, donor))
    amplitude = np.fft.fftshift(np.abs(own), axes=(-2, -1))
    wanted = np.fft.fftshift(np.abs(other), axes=(-2, -1))
    height, width = recipient.shape[-2:]
    b = int(np.floor(min(height, width) * share))
    y, x = height // 2, width // 2
    window = (slice(None), slice(y - b, y + b + 1), slice(x - b, x + b + 1))
    amplitude[window] = wanted[window]
    amplitude = np.fft.ifftshift(amplitude, axes=(-2, -1))
    return np.real(np.fft.ifft2(amplitude * np.exp(1j * np.angle(own)), axes=(-2, -1)))


@pytest.mark.parametrize("size", [(64, 64), (45, 60), (31, 33)], ids=str)
def test_low_frequencies_are_swapped_as_in_the_paper(size: tuple[int, int]) -> None:
    recipients, donors = scenes(2, size).double(), scenes(2, size, seed=8).double()
    edited = spectra.low_frequency_editor(recipients)(spectra.low_frequency(donors))
    for ours, recipient, donor in zip(edited.numpy(), recipients.numpy(), donors.numpy(), strict=True):
        expected = swapped(recipient, donor, spectra.LOW_SHARE).clip(0, 1)
        np.testing.assert_allclose(ours, expected, atol=2e-3)  # waves under half a grey level are left out


def test_a_channels_mean_is_among_the_low_frequencies() -> None:
    recipients, donors = scenes(3), scenes(3, seed=8)
    edited = spectra.low_frequency_editor(recipients)(spectra.low_frequency(donors))
    assert edited.min() > 0
    assert edited.max() < 1
    torch.testing.assert_close(edited.mean(dim=(2, 3)), donors.mean(dim=(2, 3)), rtol=0, atol=1e-4)


def test_high_frequencies_stay() -> None:
    recipients, donors = scenes(2), scenes(2, seed=8)
    edited = spectra.low_frequency_editor(recipients)(spectra.low_frequency(donors))
    change = torch.fft.fft2((edited - recipients).double(), norm="forward").abs()
    high = torch.ones(64, 64, dtype=torch.bool)
    low = torch.arange(-4, 5)
    high[low[:, None], low] = False
    assert change[:, :, high].max() < 1e-6
    assert change[:, :, ~high].max() > 1e-2


def test_white_noise_has_the_same_level_in_every_ring() -> None:
    noise = 0.5 + 0.05 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = spectra.spectrum(noise.expand(64, 3, 128, 128))[0]
    np.testing.assert_allclose(levels[6:].exp().numpy(), 0.05, rtol=0.05)  # the lower rings hold few waves


def test_a_wave_is_in_the_ring_of_its_frequency() -> None:
    places = torch.arange(64, dtype=torch.float64)
    found = []
    for waves in (1, 4, 12, 31):
        wave = 0.5 + 0.4 * torch.cos(2 * torch.pi * waves * places / 64)
        levels = spectra.spectrum(wave.expand(1, 3, 64, 64))[0]
        assert int((levels > np.log(1e-3)).sum()) == 1
        found.append(int(levels.argmax()))
    expected = [int(12 * np.log(waves) / np.log(32 * np.sqrt(2))) for waves in (1, 4, 12, 31)]
    assert found == expected


def test_the_gains_are_those_of_a_direct_transform_and_bounded() -> None:
    canvases = scenes(2).double()
    own = spectra.spectrum(canvases)
    wish = torch.zeros_like(own)
    wish[:, 5], wish[:, 8], wish[:, 11] = 0.5, -9.0, -0.3
    edited = spectra.spectrum_editor(canvases)(own + wish)
    assert edited.min() > 0
    assert edited.max() < 1
    before, after = (torch.fft.fft2(luminance(images)).abs() for images in (canvases, edited))
    ratio = (after / before).log()
    frequency = torch.fft.fftfreq(64, dtype=torch.float64) * 64
    radius = torch.hypot(frequency[:, None], frequency)
    ring = (12 * radius.clamp(min=0.5).log() / np.log(32 * np.sqrt(2))).floor().clamp(max=11).long()
    allowed = torch.tensor([0.0, 0, 0, 0, 0, 0.5, 0, 0, -np.log(3), 0, 0, -0.3], dtype=torch.float64)
    expected = torch.where(ring < 0, 0.0, allowed[ring.clamp(min=0)])
    torch.testing.assert_close(ratio, expected.expand_as(ratio), rtol=0, atol=1e-8)


def test_the_spectrum_edit_keeps_the_mean_colour() -> None:
    canvases = scenes(3)
    edited = spectra.spectrum_editor(canvases)(spectra.spectrum(canvases) + 0.3)
    torch.testing.assert_close(edited.mean(dim=(2, 3)), canvases.mean(dim=(2, 3)), rtol=0, atol=1e-5)
