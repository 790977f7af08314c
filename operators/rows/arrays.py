"""The arrays that pictures and masks are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Selection = npt.NDArray[np.bool_]
