"""Requests in the shape of OpenAI's image edits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from flows.serve.wishes import Erase, Inpaint, Wish, reads_prompts
from flows.serve.work import WrongRequest
from operators.pictures.codec import Limits, read_header
from operators.pictures.formats.header import open_image
from operators.rows.failure import Failure

IGNORED = ("user", "size", "quality", "background", "input_fidelity", "output_compression", "partial_images")
"""Fields that change nothing here; an edit keeps the picture's size and format."""
DEFAULT = "cleanplate"
"""The model name that selects the preset `balanced`."""


def options_of_edit(options: Mapping[str, Any], masked: bool) -> tuple[type[Wish], dict[str, Any]]:
    """What an edit wishes: to fill the mask, or to erase texts where there is none.

    The prompt reaches only models that read one. Raises WrongRequest and RunError.
    """
    unknown = set(options) - {"prompt", "model", "n", "response_format", "output_format", "moderation", "stream", *IGNORED}
    if unknown:
        raise WrongRequest("option_invalid", f"{min(unknown)[:60]}: no field of this request")
    if str(options.get("n") or "1") != "1":
        raise WrongRequest("option_invalid", "n: one picture at a time")
    if options.get("response_format") not in (None, "b64_json"):
        raise WrongRequest("option_invalid", "response_format: only b64_json")
    if str(options.get("stream") or "false").lower() not in ("false", "0"):
        raise WrongRequest("option_invalid", "stream: the answer comes in one piece")
    model = str(options.get("model") or DEFAULT)
    chosen = None if model == DEFAULT else model
    prompt = str(options.get("prompt") or "")[:4000]
    fields = {"model": chosen, "prompt": prompt if prompt and reads_prompts("balanced", chosen) else ""}
    return (Inpaint if masked else Erase), fields


def mask_of_alpha(data: bytes, limits: Limits) -> bytes:
    """A mask in our sense, white where OpenAI's is transparent, as a PNG.

    A mask without transparency is one in our sense already. Raises WrongRequest.
    """
    try:
        read_header(data, limits)
        picture = open_image(data)
        picture.load()
    except Failure as failure:
        raise WrongRequest("mask_unreadable", failure.message) from None
    except Exception as error:
        raise WrongRequest("mask_unreadable", type(error).__name__) from None
    if not picture.has_transparency_data:
        return data
    alpha = np.asarray(picture.convert("RGBA"))[:, :, 3]
    buffer = io.BytesIO()
    Image.fromarray(255 - alpha).save(buffer, "PNG")
    return buffer.getvalue()
