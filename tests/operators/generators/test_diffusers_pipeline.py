"""Flux by its own pipeline: masks survive its resampling, each step is differential diffusion."""

import numpy as np
import pytest
import torch

from operators.generators.catalogue import generator_of
from operators.generators.diffusers_pipeline import DiffusersPipeline
from operators.generators.loading import Loaded
from operators.generators.strength import threshold
from operators.rows.failure import RunError


@pytest.mark.parametrize("kind", ["flux_fill", "flux"])
def test_a_stroke_of_two_pixels_is_still_in_the_mask_when_every_eighth_pixel_is_kept(generator, request_of, kind):
    mask = generator(kind).masks([request_of(200, 200)])
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    cells = mask.reshape(1, 1, 8, 8, 8, 8)
    if kind == "flux":
        assert torch.equal(cells.amax((3, 5)), cells.amin((3, 5)))
        assert mask[:, :, ::8, ::8].any()
    else:
        assert cells.amax((3, 5)).sum() < mask.sum() < 64 * cells.amax((3, 5)).sum()


def test_flux_fill_sees_the_stroke(generator, request_of):
    chosen, shown = generator("flux_fill"), []
    transformer = chosen.loaded.pipeline.transformer
    hook = transformer.register_forward_pre_hook(
        lambda module, values, named: shown.append(named["hidden_states"].clone()), with_kwargs=True
    )
    try:
        chosen.fill([request_of(200, 200)])
    finally:
        hook.remove()
    latents, masked = 16, 16
    assert shown[0][:, :, latents + masked :].any()


@pytest.mark.parametrize("kind", ["flux_fill", "flux"])
def test_cells_outside_the_change_map_end_as_the_source(generator, request_of, kind):
    chosen, request = generator(kind, steps=4), request_of(64, 64)
    decoded = []
    vae = chosen.loaded.pipeline.vae
    hook = vae.post_quant_conv.register_forward_pre_hook(lambda module, values: decoded.append(values[0].clone()))
    try:
        chosen.fill([request])
        plain = [chosen.fill([request_of(64, 64, seed=seed)])[0] for seed in (3, 4)]
    finally:
        hook.remove()
    latents = (decoded[0] - vae.config.shift_factor) * vae.config.scaling_factor
    with torch.inference_mode():
        hold = chosen._differential_callback([request])
        chosen.loaded.pipeline.scheduler.set_timesteps(4)
        source = hold(chosen.loaded.pipeline, 3, None, {"latents": torch.zeros(1, 16, 16)})["latents"]
    source = chosen.loaded.pipeline._unpack_latents(source, 64, 64, 8)
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[2, 2:6] = False
    assert torch.allclose(latents[0, :, outside], source[0, :, outside], atol=1e-5)
    assert not torch.allclose(latents[0, :, ~outside], source[0, :, ~outside], atol=1e-2)
    assert (plain[0] != plain[1]).any()


def test_a_cell_is_held_until_the_threshold_has_fallen_to_its_strength(generator, request_of):
    chosen, steps = generator("flux_fill", steps=4), 4
    free = torch.full((1, 16, 16), 7.0)
    with torch.inference_mode():
        chosen.loaded.pipeline.scheduler.set_timesteps(steps)
        hold = chosen._differential_callback([request_of(64, 64, core=0, blend=128)])
        counts = [
            int((hold(chosen.loaded.pipeline, step, None, {"latents": free})["latents"] == 7).sum()) for step in range(steps)
        ]
    held_until = next(step for step in range(steps) if threshold(step, steps) <= 128 / 255)
    assert [count > 0 for count in counts] == [step + 1 >= held_until for step in range(steps)]


def test_a_pipeline_that_cannot_inpaint_is_refused_with_one_line(card, folder):
    from diffusers import DDPMPipeline, DDPMScheduler

    blind = DDPMPipeline(generator_of(card("sd4"), folder("sd4")).loaded.pipeline.unet, DDPMScheduler())
    with pytest.raises(RunError, match="DDPMPipeline cannot inpaint"):
        DiffusersPipeline.of(card("flux"), Loaded(blind, "cpu"))
    assert isinstance(generator_of(card("flux"), folder("flux")), DiffusersPipeline)


def test_masks_are_float_zeros_and_ones(generator, request_of):
    mask = generator("flux_fill").masks([request_of(), request_of(30, 60)][:1])
    assert mask.dtype == torch.float32 and mask.shape == (1, 1, 64, 64)
    assert np.isin(mask.numpy(), (0, 1)).all()
