"""Augmentation that a resumed run repeats: each batch has a seed of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

AUGMENTATIONS = ("photo", "flip-crop", "crop", "none")

PHOTO_SCALE, PHOTO_COLOUR = (0.6, 1.0), 0.3
"""Of ``photo``: the share of the area that a crop keeps, and how far brightness, contrast and saturation vary."""


def augmentation(name: str, resolution: int) -> nn.Module:
    """Maps images (N, 3, H, W) in 0..1 to images of the same shape; its randomness is torch's global one."""
    if name == "none":
        return nn.Identity()
    from kornia.augmentation import ColorJiggle, RandomCrop, RandomHorizontalFlip, RandomResizedCrop

    if name == "photo":
        vary = (PHOTO_COLOUR,) * 3
        crop = RandomResizedCrop((resolution, resolution), scale=PHOTO_SCALE, ratio=(3 / 4, 4 / 3))
        return nn.Sequential(crop, RandomHorizontalFlip(p=0.5), ColorJiggle(*vary, hue=0.0, p=1.0))

    crop = RandomCrop((resolution, resolution), padding=resolution // 8)
    return crop if name == "crop" else nn.Sequential(crop, RandomHorizontalFlip(p=0.5))


def augmented(images: torch.Tensor, how: nn.Module, seed: int, epoch: int, step: int) -> torch.Tensor:
    """The batch of a step, augmented; torch's global random state is left as it was."""
    # kornia draws from torch's global generator: seed it for this batch, and put it back
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0]))
        augmented_images: torch.Tensor = how(images)
    return augmented_images
