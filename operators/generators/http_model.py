"""A model that is asked over HTTP, in the shape of OpenAI's `POST /v1/images/edits`.

Hosted editors, gateways such as LiteLLM, servers such as vLLM-Omni and `cleanplate serve` have
this shape. A request holds the context crop and its mask as PNG files, the prompt, the name of the
model and a size. The crop lies on a canvas of one of the sizes that the model takes. Letters do
not leave this machine: what the hole hides is smoothed over first. The mask is transparent and
white where the picture is to be filled, opaque and black elsewhere.

A fill is not repeatable: servers take no seed, and their models change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import time
import uuid
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from operators.generators.call_account import Account, CallLimits, account_of
from operators.generators.canvas import Canvas
from operators.generators.classical import navier_stokes
from operators.generators.generator import Described, Fill, Request
from operators.generators.http_calls import Pace, Reply, call
from operators.masks.mask import dilated, hole_of
from operators.models.card import ModelCard, Service
from operators.pictures.codec import Limits, read_header
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure

RIM = 4
"""Pixels around the hole that are smoothed over too: the rims of letters could be read."""
PATIENCE_SECONDS = 440.0
"""How long the calls of one image may take together, retries and waits included.

With the longest try it is less than an image may take in one operator; see `cluster.bounds`.
"""
LIMITS = Limits(max_pixels=64_000_000)
"""The largest picture that is taken for an answer."""
MOST_SKEW = 0.02
"""How far the proportions of an answer may be off those of the canvas, as a share."""
COST_HEADERS = ("x-litellm-response-cost",)
"""Headers in which a gateway says what a call has cost."""
MODEL_HEADERS = ("openai-model", "x-litellm-model-id", "x-model")
"""Headers in which a server says which model has answered."""


@dataclass(frozen=True)
class HttpModel:
    """The model of a card as a generator; one object serves one image.

    A request that this run has had answered before is answered from what was kept.
    """

    card: ModelCard
    limits: CallLimits = CallLimits()
    dest: str = ""
    """The destination of the run, which keeps its calls and answers; "" keeps neither."""
    until: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)
    """When this image's calls must have ended, by `time.monotonic`."""

    def shape(self, request: Request) -> Hashable:
        """None: requests of any size may share a call of `fill`, because each is asked alone."""
        return None

    def microbatch(self, request: Request) -> int:
        """As many as may be asked at once."""
        return self.limits.at_once

    def fill(self, requests: Sequence[Request]) -> list[Fill]:
        """Ask for each crop, at the same time; an error stands in the place of its fill.

        Padding, which repeats a request, is asked once. The errors are Failure call_refused,
        call_failed and answer_invalid, those of the storage, and CallsSpentError.
        """
        different = {id(request): request for request in requests}
        with ThreadPoolExecutor(len(different)) as pool:
            outcomes = dict(zip(different, pool.map(self._fill_or_error, different.values()), strict=True))
        return [outcomes[id(request)] for request in requests]

    def _fill_or_error(self, request: Request) -> Fill:
        try:
            return self._fill(request)
        except Exception as error:
            return error

    def _fill(self, request: Request) -> Fill:
        hole = hole_of(request.mask)
        if not hole.any():
            return np.array(request.pixels)
        canvas = Canvas.best(hole.shape[0], hole.shape[1], self._service.sizes)
        smooth = navier_stokes(np.ascontiguousarray(request.pixels), dilated(hole, RIM), request.seed)
        picture, mask = encode_picture(canvas.picture(smooth)), encode_mask(canvas.weights(hole))
        account, key = account_of(self.dest), self._key(request, canvas, picture, mask)
        kept = account.kept(key)
        if kept is not None:
            return _from_kept(kept, hole.shape)
        reply = self._ask(request, canvas, picture, mask, account)
        cost, model = cost_of(reply, self.limits.call_cost), model_of(reply)
        account.answered(self.card.alias, self.limits, cost, model)
        answer = picture_of(reply, canvas)
        fill = np.where(hole[:, :, None] > 0, canvas.returned(answer), request.pixels)
        return self._keep(account, key, fill, cost)

    def _ask(self, request: Request, canvas: Canvas, picture: bytes, mask: bytes, account: Account) -> Reply:
        service = self._service
        fields = {"model": service.model, "prompt": request.prompt, "n": "1", "size": f"{canvas.width}x{canvas.height}"}
        if service.asks_for_base64:
            fields["response_format"] = "b64_json"
        body, media_type = form(fields, {"image": picture, "mask": mask})
        return call(
            service.address,
            body,
            media_type,
            self.until,
            Pace(service.address, self.limits.at_once, self.limits.per_minute),
            begin=lambda: account.begin(self.card.alias, self.limits),
            refused=lambda: account.refused(self.card.alias, self.limits),
        )

    def _key(self, request: Request, canvas: Canvas, picture: bytes, mask: bytes) -> str:
        """What distinguishes two requests. The seed is part of it, so that another try is one."""
        words = [self._service.reference, request.prompt, request.seed, canvas.width, canvas.height, *request.pixels.shape[:2]]
        digest = hashlib.sha256(json.dumps(words).encode())
        for part in (picture, mask):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def _keep(self, account: Account, key: str, fill: Pixels, cost: float) -> Described:
        note = PngInfo()
        note.add_text("cost", repr(cost))
        account.keep(key, encode_picture(fill, note))
        return Described(fill, (("call_cost", cost),))

    @property
    def _service(self) -> Service:
        assert self.card.service is not None
        return self.card.service


def encode_picture(pixels: Pixels, note: PngInfo | None = None) -> bytes:
    """Pixels (uint8 height x width x 3) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3, pnginfo=note)
    return buffer.getvalue()


def encode_mask(hole: Pixels) -> bytes:
    """A hole (uint8 height x width, above 0 inside) as PNG: transparent and white inside."""
    inside = hole > 0
    buffer = io.BytesIO()
    colours = np.array([[0, 0, 0, 255], [255, 255, 255, 0]], np.uint8)
    Image.fromarray(colours[inside.astype(np.uint8)]).save(buffer, "PNG")
    return buffer.getvalue()


def form(fields: dict[str, str], pictures: dict[str, bytes]) -> tuple[bytes, str]:
    """A body of type `multipart/form-data` (RFC 7578) with fields and PNG files, and its type."""
    boundary, parts = uuid.uuid4().hex, list[bytes]()
    for name, value in fields.items():
        parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode(), value.encode(), b"\r\n"]
    for name, data in pictures.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n'
        parts += [head.encode(), b"Content-Type: image/png\r\n\r\n", data, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def picture_of(reply: Reply, canvas: Canvas) -> Pixels:
    """The picture in an answer, at the canvas's size: uint8 height x width x 3.

    A server may answer at another size of the same proportions. Raises Failure answer_invalid.
    """
    try:
        data = base64.b64decode(json.loads(reply.body)["data"][0]["b64_json"], validate=True)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, binascii.Error):
        raise Failure("answer_invalid", "the answer holds no picture as data[0].b64_json") from None
    try:
        read_header(data, LIMITS)
        pixels = np.asarray(open_image(data).convert("RGB"))
    except Failure as failure:
        raise Failure("answer_invalid", f"the answer's picture: {failure.message}") from None
    except Exception as error:
        raise Failure("answer_invalid", f"the answer's picture: {type(error).__name__}") from None
    height, width = pixels.shape[:2]
    if (height, width) == (canvas.height, canvas.width):
        return pixels
    if abs(height * canvas.width / (width * canvas.height) - 1) > MOST_SKEW:
        raise Failure("answer_invalid", f"the answer is {width}x{height} for {canvas.width}x{canvas.height}")
    how = cv2.INTER_AREA if width > canvas.width else cv2.INTER_CUBIC
    resized: Pixels = cv2.resize(pixels, (canvas.width, canvas.height), interpolation=how)
    return resized


def cost_of(reply: Reply, assumed: float) -> float:
    """What a call has cost: what the server says, else what is assumed."""
    for name in COST_HEADERS:
        try:
            cost = float(reply.headers[name])
        except (KeyError, ValueError):
            continue
        if 0 <= cost < float("inf"):
            return cost
    return assumed


def model_of(reply: Reply) -> str:
    """The model that the server says has answered; empty if it does not say."""
    try:
        named = json.loads(reply.body).get("model")
    except (ValueError, AttributeError, RecursionError):
        named = None
    found = (
        named if isinstance(named, str) else next((reply.headers[name] for name in MODEL_HEADERS if name in reply.headers), "")
    )
    return "".join(letter for letter in found if letter.isprintable())[:100]


def _from_kept(data: bytes, shape: tuple[int, ...]) -> Described:
    """A fill that was kept. Raises Failure answer_invalid for a damaged one."""
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        fill, cost = np.asarray(picture.convert("RGB")), float(picture.info["cost"])
        if fill.shape[:2] != tuple(shape):
            raise ValueError
    except Exception:
        raise Failure("answer_invalid", "the answer that was kept is damaged") from None
    return Described(fill, (("call_cost", cost),))
