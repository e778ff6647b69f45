"""Augmentation that a resumed run repeats: each batch has a seed of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hwnas.random_state import own_random_state

AUGMENTATIONS = ("photo", "flip-crop", "crop", "cutout", "none")

PHOTO_SCALE, PHOTO_COLOUR = (0.6, 1.0), 0.3
"""Of ``photo``: the share of the area that a crop keeps, and how far brightness, contrast and saturation vary."""


CUTOUT_SHARE = 0.5
"""Of the side of an image: that of the square that is cut out, 16 of 32 pixels as in DARTS."""


class Cutout(nn.Module):
    """Cuts a square out of each image (arXiv 1708.04552); a part of it may lie outside.

    Args:
        side: of the square in pixels.
        fill: a value for each channel.
    """

    def __init__(self, side: int, fill: tuple[float, float, float]) -> None:
        super().__init__()
        self.side, self.fill = side, fill

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        inside = []
        for size in images.shape[2:]:
            # drawn on the CPU, as kornia draws: the same squares on every device
            first = torch.randint(size, (len(images), 1)).to(images.device) - self.side // 2
            position = torch.arange(size, device=images.device)
            inside.append((position >= first) & (position < first + self.side))
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return torch.where(square, images.new_tensor(self.fill).view(3, 1, 1), images)


def augmentation(name: str, resolution: int, mean: tuple[float, float, float]) -> nn.Module:
    """Maps images (N, 3, H, W) in 0..1 to images of the same shape; its randomness is torch's global one.

    Args:
        name: one of `AUGMENTATIONS`.
        resolution: H and W.
        mean: of the channels, what is cut out becomes.
    """
    if name == "none":
        return nn.Identity()
    from kornia.augmentation import ColorJiggle, RandomCrop, RandomHorizontalFlip, RandomResizedCrop

    if name == "photo":
        vary = (PHOTO_COLOUR,) * 3
        crop = RandomResizedCrop((resolution, resolution), scale=PHOTO_SCALE, ratio=(3 / 4, 4 / 3))
        return nn.Sequential(crop, RandomHorizontalFlip(p=0.5), ColorJiggle(*vary, hue=0.0, p=1.0))

    crop = RandomCrop((resolution, resolution), padding=resolution // 8)
    ways = [crop] if name == "crop" else [crop, RandomHorizontalFlip(p=0.5)]
    if name == "cutout":
        ways.append(Cutout(round(CUTOUT_SHARE * resolution), mean))
    return nn.Sequential(*ways)


def augmented(images: torch.Tensor, how: nn.Module, seed: int, epoch: int, step: int) -> torch.Tensor:
    """The batch of a step, augmented; torch's global random state is left as it was."""
    # kornia draws from torch's global generator: seed it for this batch, and put it back
    with own_random_state(int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0])):
        augmented_images: torch.Tensor = how(images)
    return augmented_images
