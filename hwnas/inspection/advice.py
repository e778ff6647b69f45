"""Advice on a model for the mobile engineer who ships it: each piece is one function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

from hwnas.inspection.counts import number_formats, uncounted
from hwnas.inspection.info import EndInfo, ExecutionInfo
from hwnas.inspection.network import FileNetwork
from hwnas.inspection.reading import FileContent

LARGE_KERNEL = 25
"""Taps of the largest depthwise kernel that XNNPACK has a fast routine for: 5x5."""


def advice(format: str, content: FileContent, execution: ExecutionInfo) -> list[str]:
    """Sentences on what is slow, wrong or unusual in a model; none for one with nothing to remark."""
    network = content.network
    found = [*content.warnings, *_execution(format, network, execution), *_ends(content.inputs, content.outputs)]
    if format == "tflite":
        found += [*_large_depthwise(network), *_integers(network)]
    return [*found, *_transposes(network), *_unknown_shapes(network), *_uncounted(network)]


def _execution(format: str, network: FileNetwork, execution: ExecutionInfo) -> Iterator[str]:
    if execution.refused is not None:
        yield f"{execution.runtime} does not load it: {execution.refused}"
    if custom := Counter(operator.kind for operator in network.operators if operator.custom):
        yield f"It needs operators of its own, which an app must bring along: {_listed(custom)}."
    if format != "tflite" or execution.refused is not None:
        return
    kinds = Counter(network.operators[i].kind for i in execution.outside if i < len(network.operators))
    if execution.partitions == 0:
        yield "XNNPACK takes none of it: every operator runs on the reference kernels, several times slower."
    elif kinds:
        yield (
            f"XNNPACK takes it in {execution.partitions} pieces and leaves {sum(kinds.values())} operators to slower "
            f"kernels: {_listed(kinds)}. The data goes back and forth between them."
        )


def _ends(inputs: Sequence[EndInfo], outputs: Sequence[EndInfo]) -> Iterator[str]:
    for end in (*inputs, *outputs):
        free = [size for size in end.shape if isinstance(size, str) or size < 0]
        if free:
            yield (
                f"{end.name} has free dimensions, {list(end.shape)}: runtimes plan memory anew for each size, and some "
                f"accelerators refuse it. The figures are for {list(end.counted_shape or ())}; export it for one size."
            )
    if len(inputs) != 1 or len(outputs) != 1:
        yield f"It has {len(inputs)} inputs and {len(outputs)} outputs; `hwnas bench` measures models with one of each."


def _large_depthwise(network: FileNetwork) -> Iterator[str]:
    large = [o for o in network.operators if o.kind == "DEPTHWISE_CONV_2D" and prod(o.kernel or ()) > LARGE_KERNEL]
    if large:
        sizes = Counter("x".join(map(str, operator.kernel or ())) for operator in large)
        yield (
            f"{len(large)} depthwise convolutions have kernels above 5x5 ({_listed(sizes)}). XNNPACK is slow there: a "
            "7x7 of 96 channels took 18 times as long as a 5x5 in float32, 72 times in int8 (LiteRT 2.3, x86). "
            "ONNX Runtime has no such step."
        )


def _integers(network: FileNetwork) -> Iterator[str]:
    formats = [number_formats(network, operator) for operator in network.operators]
    integer = [pair for pair in formats if pair is not None and pair[0].startswith(("int", "uint"))]
    direct = [
        operator
        for operator, pair in zip(network.operators, formats, strict=True)
        if pair is not None and "int" in pair[0] and "float" in pair[1]
        if not set(operator.inputs) & network.unpacked.keys()
    ]
    if direct:
        yield (
            f"{len(direct)} operators multiply integer weights with float activations (dynamic-range quantisation). "
            "tflite-runtime 2.14 computes such networks wrong without saying so; use full int8 or float16."
        )
    swishes = [o for o in network.operators if o.kind == "HARD_SWISH"]
    quantised = [o for o in swishes if any("int" in network.tensors[name].dtype for name in o.inputs if name)]
    if quantised:
        yield (
            f"{len(quantised)} HARD_SWISH are in int8, which XNNPACK does not take: each splits the network (LiteRT "
            "2.3; three times slower). Write it as ADD 3 with RELU6, MUL and MUL 1/6."
        )
    if any("float" not in pair[1] for pair in integer):
        yield "tflite-runtime 2.14 has no XNNPACK for int8: on x86 it runs 5 to 20 times slower there than in LiteRT."


def _transposes(network: FileNetwork) -> Iterator[str]:
    count = sum(operator.kind.upper() == "TRANSPOSE" for operator in network.operators)
    if count:
        yield (
            f"{count} TRANSPOSE only move data about. At the ends they are a converter's change of layout, which an "
            "export in the runtime's own layout avoids; inside they are channel shuffles or attention."
        )


def _unknown_shapes(network: FileNetwork) -> Iterator[str]:
    names = {name for o in network.operators for name in network.activations((*o.inputs, *o.outputs))}
    unknown = sum(network.tensors[name].bytes is None for name in names)
    if unknown:
        yield (
            f"The shapes of {unknown} of {len(names)} activations are not in the file and cannot be inferred: the peak "
            "of memory is not known."
        )


def _uncounted(network: FileNetwork) -> Iterator[str]:
    if kinds := Counter(uncounted(network)):
        yield (
            f"MACs and parameters are lower bounds: those inside {_listed(kinds)} are not counted. Their insides "
            "are not looked into, or their shapes are not known."
        )


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) + (" ..." if len(kinds) > 5 else "")
