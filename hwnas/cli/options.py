"""The options that several verbs share: one name, one meaning, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.exporter.precision import PRECISIONS
from hwnas.runners import ALL_RUNTIMES
from hwnas.searches.registry import SEARCHES
from hwnas.spaces import SPACES

_SPACES = ", ".join(SPACES)
_RUNTIMES = ", ".join(ALL_RUNTIMES)
_METHODS = ", ".join(SEARCHES)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads per inference [the device's own].")]
Resolution = Annotated[int | None, typer.Option("--resolution", help="Side of the input image in pixels.")]
Resolutions = Annotated[
    str | None,
    typer.Option("--resolution", help="Side of the input image in pixels; several are separated by commas: 32,48,64."),
]
Width = Annotated[float | None, typer.Option("--width", help="Multiplier of all channel counts.")]

# measure, bench: every option has a value if it is not given
SpaceName = Annotated[str, typer.Option("--space", help=f"Search space: {_SPACES}.")]
DeviceName = Annotated[str, typer.Option("--device", help="A device of `hwnas devices`, or the path of its TOML file.")]
DeviceNames = Annotated[
    list[str] | None,
    typer.Option(
        "--device", help="A device of `hwnas devices`, or its TOML file; repeat it to measure several at once [local]."
    ),
]
RuntimeName = Annotated[
    str | None,
    typer.Option("--runtime", help=f"{_RUNTIMES}; as far as the device has it [the device's own]."),
]
Classes = Annotated[int | None, typer.Option("--classes", help="Number of classes.")]
Tables = Annotated[Path, typer.Option("--tables", help="Folder that latency tables are kept in.")]
Networks = Annotated[
    str | None,
    typer.Option(
        "--networks",
        help="Whole networks to measure, 3 to 1000 [30; with --from 10]; `known`: MobileNets and other known networks.",
    ),
]
OptionalPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision", help=f"Of the model files whose ms count: {', '.join(PRECISIONS)} [that of --latency; float32]."
    ),
]
BudgetPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help=f"Of the file that the budget is for: {', '.join(PRECISIONS)}, or auto: the better of float32 and int8 "
        "[float32].",
    ),
]
Int8MaxLoss = Annotated[
    float | None,
    typer.Option(
        "--int8-max-loss",
        help="Points of validation accuracy that int8 may lose before the network is fine-tuned with rounding [1].",
    ),
]
Known = Annotated[
    list[Path] | None,
    typer.Option("--from", help="Table of a known device; may be repeated."),
]
ImportFile = Annotated[
    Path | None,
    typer.Option("--import", help="Take a published table from this file (JSON, YAML, CSV) and measure nothing."),
]
UntilMape = Annotated[
    float | None,
    typer.Option(
        "--until-mape", help="Measure the most informative models first, until the error is at most this percentage."
    ),
]

# search, design: an option that is not given comes from --config, or from the defaults of DesignConfig
Config = Annotated[
    Path | None, typer.Option("--config", help="TOML file of the options that decide the result; flags override it.")
]
OptionalSpace = Annotated[
    str | None, typer.Option("--space", help=f"Search space: {_SPACES} [design: by the images; tiny].")
]
OptionalDevice = Annotated[str | None, typer.Option("--device", help="A device of `hwnas devices` [local].")]
OptionalRuntime = Annotated[
    str | None, typer.Option("--runtime", help=f"The runtime that the budget limits: {_RUNTIMES} [the device's own].")
]
OptionalTables = Annotated[Path | None, typer.Option("--tables", help="Folder of measured tables [latency_models].")]
OptionalNetworks = Annotated[int | None, typer.Option("--networks", help="Whole networks to calibrate with [30].")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", help="Folder of images: train/CLASS/FILE and test/CLASS/FILE, perhaps val/, or CLASS/FILE [digits]."
    ),
]
BudgetMs = Annotated[
    str | None,
    typer.Option(
        "--budget-ms",
        help="Limit on the latency of one inference: ms, or 60% for what 60 % of the networks are predicted to take.",
    ),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="DEVICE=MS or DEVICE/RUNTIME=MS, such as pixel-1=60; repeat it: one network is to be within all of them.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="NAME=MOST of parameters, macs, file-size or peak-memory, such as parameters=2M; may be repeated.",
    ),
]
Sustained = Annotated[
    Path | None,
    typer.Option(
        "--sustained", help="JSON of `hwnas bench --minutes`: the budget is for the speed that the device keeps up."
    ),
]
Frontier = Annotated[
    str | None,
    typer.Option("--frontier", help="Budgets, such as 0.3,0.4,0.5 or 20%,60%, that one supernet is to serve."),
]
Latency = Annotated[Path | None, typer.Option("--latency", help="Folder of a latency table [measured if absent].")]
SearchLatency = Annotated[
    Path | None, typer.Option("--latency", help="Folder of a latency table [of --device, in --tables].")
]
Method = Annotated[
    str | None, typer.Option("--method", help=f"Search method: {_METHODS} [design: by the images; dsnas].")
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", help="Passes over the training images [design: more for fewer images; else 30]."),
]
StudyEpochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training images [30].")]
Pretrained = Annotated[
    str | None,
    typer.Option(
        "--pretrained", help="Weights to start from: none, lite0, or a file of that form [design: by the images; none]."
    ),
]
Compare = Annotated[
    bool | None,
    typer.Option("--compare/--no-compare", help="Train known networks of the same ms, too [with once-for-all]."),
]
CompareWith = Annotated[
    str | None,
    typer.Option(
        "--compare-with", help="Which known networks, such as mobilenet-v2,mnasnet [plain-cnn and the start]."
    ),
]
Retrain = Annotated[
    bool, typer.Option("--retrain", help="Train the architecture found from scratch instead of inheriting its weights.")
]
LimitTrain = Annotated[int | None, typer.Option("--limit-train", help="Use only this many training images.")]
Balance = Annotated[
    float | None,
    typer.Option(
        "--balance", min=0, max=1, help="Train on small classes as often as on large ones: 0 not, 1 fully [0]."
    ),
]
TrainThreads = Annotated[
    int | None, typer.Option("--train-threads", min=1, help="Threads that train [the fastest; or as the run began].")
]
TorchDevice = Annotated[str | None, typer.Option("--torch-device", help="Where to train: cpu, cuda [cpu].")]
Amp = Annotated[
    str | None,
    typer.Option("--amp", help="Precision of trainings: auto, off, bf16, fp16 [auto: 16 bits on GPUs, off elsewhere]."),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile what is trained alone (--retrain, --compare) with torch.compile.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random [0].")]
Accept = Annotated[bool, typer.Option("--accept-conditions", help="Use a table measured under other conditions.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder [runs/NAME]; an unfinished one goes on.")]
