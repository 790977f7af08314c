"""Measure how far an edit is from a known truth.

Papers on text removal publish PSNR, MSSIM, MSE, AGE, pEPs and pCEPs. The last three come from
background estimation (Maddalena and Petrosino, "Towards Benchmarking Scene Background
Initialization", ICIAP workshops 2015).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels

ERROR_THRESHOLD = 20
"""Grey levels beyond which a pixel counts as an error pixel."""
MS_SSIM_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The published exponent of each scale, the finest first."""


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape: 10 log10(255^2 / MSE).

    Infinite for equal pictures.
    """
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def mse(first: Pixels, second: Pixels) -> float:
    """Mean squared error of values scaled to 0..1, as papers on text removal publish it.

    0 for equal pictures, at most 1.
    """
    return float(np.mean(((first.astype(np.float64) - second) / 255) ** 2))


def _grey_error(first: Pixels, second: Pixels) -> npt.NDArray[np.int32]:
    """Absolute difference of the lumas, each rounded to whole grey levels."""
    first_luma, second_luma = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int32) for picture in (first, second))
    difference: npt.NDArray[np.int32] = np.abs(first_luma - second_luma)
    return difference


def age(first: Pixels, second: Pixels) -> float:
    """Average grey-level error: the mean absolute difference of the lumas, 0..255."""
    return float(_grey_error(first, second).mean())


def error_pixels(first: Pixels, second: Pixels) -> float:
    """pEPs: the share of pixels whose lumas differ by more than 20 grey levels, 0..1."""
    return float((_grey_error(first, second) > ERROR_THRESHOLD).mean())


def clustered_error_pixels(first: Pixels, second: Pixels) -> float:
    """pCEPs: the share of error pixels whose four neighbours are error pixels too, 0..1.

    Neighbours outside the picture count as errors, as in the common code for this measure (a
    morphological erosion).
    """
    errors = (_grey_error(first, second) > ERROR_THRESHOLD).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return float(cv2.erode(errors, cross, borderType=cv2.BORDER_CONSTANT, borderValue=1).mean())


def _similarity_maps(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """SSIM and its contrast-structure part for every window inside two grey pictures.

    The windows have 11 x 11 pixels with sigma 1.5.
    """

    def local(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        smooth: npt.NDArray[np.float64] = cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]
        return smooth

    first_mean, second_mean = local(first), local(second)
    first_variance, second_variance = local(first * first) - first_mean**2, local(second * second) - second_mean**2
    covariance = local(first * second) - first_mean * second_mean
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * covariance + c2) / (first_variance + second_variance + c2)
    return contrast * (2 * first_mean * second_mean + c1) / (first_mean**2 + second_mean**2 + c1), contrast


def _lumas(first: Pixels, second: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    first_luma, second_luma = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (first, second))
    return first_luma, second_luma


def ssim(first: Pixels, second: Pixels) -> float:
    """Structural similarity of the lumas, -1..1, 1 for equal pictures.

    Wang, Bovik, Sheikh and Simoncelli (IEEE TIP 2004): Gaussian window of 11 x 11 with sigma 1.5,
    K1 = 0.01, K2 = 0.03, the mean over all windows that lie inside the picture. NaN if the
    picture is smaller than the window.
    """
    if min(first.shape[:2]) < 11:
        return float("nan")
    return float(np.mean(_similarity_maps(*_lumas(first, second))[0]))


def ms_ssim(first: Pixels, second: Pixels) -> float:
    """Multi-scale structural similarity of the lumas, 1 for equal pictures.

    Wang, Simoncelli and Bovik (Asilomar 2003): five scales, each the mean of 2 x 2 pixels of the
    previous one; contrast and structure of every scale and luminance of the last, raised to their
    published exponents. Negative means count as 0. NaN if the last scale is smaller than a window
    (a side below 176 pixels).
    """
    return _multi_scale(first, second, halved=True)


def ms_ssim_unscaled(first: Pixels, second: Pixels) -> float:
    """MSSIM as published for text removal: `ms_ssim` with all five scales at full size.

    The code in common use there filters the pictures for the next scale and then measures the
    unfiltered ones again. This copy makes its figures comparable. NaN for a side below 11 pixels.
    """
    return _multi_scale(first, second, halved=False)


def _multi_scale(first: Pixels, second: Pixels, halved: bool) -> float:
    first_luma, second_luma = _lumas(first, second)
    if min(first_luma.shape) < (11 * 2 ** (len(MS_SSIM_EXPONENTS) - 1) if halved else 11):
        return float("nan")
    result = 1.0
    for scale, exponent in enumerate(MS_SSIM_EXPONENTS):
        similarity, contrast = _similarity_maps(first_luma, second_luma)
        last = scale == len(MS_SSIM_EXPONENTS) - 1
        result *= max(0.0, float(np.mean(similarity if last else contrast))) ** exponent
        if halved and not last:
            size = (first_luma.shape[1] // 2 * 2, first_luma.shape[0] // 2 * 2)
            first_luma, second_luma = (
                cv2.resize(grey[: size[1], : size[0]], (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
                for grey in (first_luma, second_luma)
            )
    return result
