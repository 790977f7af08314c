"""How far is an edit from the truth, where the truth is known?"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.table import Pixels


def psnr(first: Pixels, second: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape: 10 log10(255^2 / MSE); infinite if equal."""
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim(first: Pixels, second: Pixels) -> float:
    """Structural similarity of the lumas, -1..1, 1 if equal.

    Wang, Bovik, Sheikh and Simoncelli (IEEE TIP 2004): Gaussian window of 11 x 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, the
    mean over all windows that lie inside the picture. NaN if the picture is smaller than the window.
    """
    if min(first.shape[:2]) < 11:
        return float("nan")
    one, other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second))

    def local(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        smooth: npt.NDArray[np.float64] = cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]
        return smooth

    mean_one, mean_other = local(one), local(other)
    variance_one, variance_other = local(one * one) - mean_one**2, local(other * other) - mean_other**2
    covariance = local(one * other) - mean_one * mean_other
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
    denominator = (mean_one**2 + mean_other**2 + c1) * (variance_one + variance_other + c2)
    return float(np.mean(numerator / denominator))
