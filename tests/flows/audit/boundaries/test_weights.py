from flows.audit.boundaries.crossing import pooled
from flows.audit.boundaries.weights import paste_back, soft_mask


def test_weights_are_off_by_half_a_step_at_most(sample):
    assert 0 < pooled(soft_mask(sample)).grey_levels <= 0.5 + 1e-4


def test_a_paste_back_is_off_by_half_a_level_at_most(sample):
    assert 0 < pooled(paste_back(sample)).grey_levels <= 0.5 + 1e-4
