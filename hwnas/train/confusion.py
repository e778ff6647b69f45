"""The Confusion: which class each test image is taken for, and the mistakes that a network is surest of."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from hwnas.train.data import ImageData

MISTAKES_SHOWN = 12
PICTURE_PX = 96
"""Height and width of the picture of a mistake, unless the images are smaller."""


@dataclass(frozen=True)
class Mistake:
    """A test image that is taken for another class.

    Attributes:
        truth, answer: names of classes.
        sureness: the share, from 0 to 1, that the network gives its answer.
        picture: JPEG, base64, of the image as the network sees it.
    """

    truth: str
    answer: str
    sureness: float
    picture: str


@dataclass(frozen=True)
class Confusion:
    """`counts[i][j]`: test images of class i that are taken for class j. The surest mistakes come first."""

    counts: list[list[int]]
    mistakes: tuple[Mistake, ...]

    def mistakes_json(self) -> dict[str, Any]:
        return {"mistakes": [asdict(mistake) for mistake in self.mistakes]}


@torch.no_grad()
def confusion(model: nn.Module, data: ImageData, shown: int = MISTAKES_SHOWN) -> Confusion:
    """The answers of a trained network to the test images. It is put into evaluation mode.

    Args:
        model: from images (N, 3, H, W), normalised, to logits (N, classes).
        data: the images.
        shown: so many mistakes are kept at most.
    """
    model.eval()
    device, classes = next(model.parameters()).device, len(data.classes)
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    surest: list[tuple[float, int, int, Tensor]] = []
    for images, labels in data.test_batches():
        sure, answers = model(images.to(device)).cpu().softmax(1).max(1)
        counts += torch.bincount(classes * labels + answers, minlength=classes * classes)
        wrong = (answers != labels).nonzero().flatten().tolist()
        surest += [(float(sure[i]), int(labels[i]), int(answers[i]), images[i].clone()) for i in wrong]
        surest = sorted(surest, key=lambda mistake: -mistake[0])[:shown]
    mistakes = [
        Mistake(data.classes[truth], data.classes[answer], round(sureness, 4), _picture(image, data))
        for sureness, truth, answer, image in surest
    ]
    return Confusion(counts.view(classes, classes).tolist(), tuple(mistakes))


def _picture(image: Tensor, data: ImageData) -> str:
    """A normalised image (3, H, W) as a small JPEG in base64."""
    mean, std = torch.tensor(data.mean).view(3, 1, 1), torch.tensor(data.std).view(3, 1, 1)
    pixels = (255 * (image * std + mean)).round().clamp(0, 255).to(torch.uint8)
    picture, written = Image.fromarray(pixels.permute(1, 2, 0).numpy()), BytesIO()
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    picture.save(written, "JPEG", quality=80)
    return b64encode(written.getvalue()).decode()
