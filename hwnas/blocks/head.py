"""The classifier at the end of a network."""

from __future__ import annotations

from torch import Tensor, nn

from hwnas.blocks.layers import ACTIVATIONS, conv_bn
from hwnas.specs.head import Head


class HeadBlock(nn.Module):
    """The module of a `Head`: (N, in, H, W) -> logits (N, num_classes)."""

    def __init__(self, spec: Head) -> None:
        super().__init__()
        self.conv = conv_bn(spec.in_channels, spec.hidden_channels, 1, activation=spec.activation)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.features = nn.Sequential()
        if spec.features:
            self.features.append(nn.Linear(spec.hidden_channels, spec.features))
            self.features.append(ACTIVATIONS[spec.activation]())
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Linear(spec.features or spec.hidden_channels, spec.num_classes, bias=spec.bias)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)  # as MobileNetV2 and SNAS-Series/DSNAS
        if spec.bias:
            nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.features(self.flatten(self.pool(self.conv(x))))))
        return logits
