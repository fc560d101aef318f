"""ONNX graphs of U-Nets, written node by node from the layers of `networks/unet.py`.

Inputs are `x` (N, C, side, side) float32 and `level` (1,) or (N,) float32; the output is `answer`
(N, C, side, side). A level given once is embedded once, whatever N is.

Weights are stored outside the graph. They are not copied, and protobuf's limit of two gigabytes
does not apply to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from sitegen.generative.networks.unet import (
    AttentionBlock,
    Block,
    Downsample,
    GroupNorm,
    ResBlock,
    UNet,
    Upsample,
    level_frequencies,
)

OPSET, IR_VERSION = 17, 8  # old versions that all recent releases of ONNX Runtime read
_SMALL = 64
"""Largest number of values, mostly of shapes, in a constant that is stored in the graph."""


Graph = tuple[bytes, dict[str, NDArray[Any]]]
"""Serialized ONNX model, and its weights by name."""


@dataclass(frozen=True)
class Value:
    """Output of a node: its name, channels, and pixels per side."""

    name: str
    channels: int
    side: int


@dataclass
class Writer:
    """Collector of nodes and weights."""

    nodes: list[Any] = field(default_factory=list)
    small: list[Any] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def split(self, value: str, parts: int, axis: int) -> list[str]:
        """Split a value into equal parts along an axis, and return their names."""
        names = [f"Split_{len(self.nodes)}_{part}" for part in range(parts)]
        self.nodes.append(helper.make_node("Split", [value], names, axis=axis))
        return names

    def constant(self, values: Tensor | NDArray[Any] | list[int] | list[float]) -> str:
        """Add a tensor and return its name. Lists of int become int64, others float32."""
        if isinstance(values, Tensor):
            numbers = values.detach().contiguous().numpy()
        else:
            numbers = np.asarray(values)
        if numbers.dtype != np.int64:
            numbers = np.ascontiguousarray(numbers, np.float32)
        name = f"constant_{len(self.small) + len(self.weights)}"
        if numbers.size <= _SMALL:
            self.small.append(onnx.numpy_helper.from_array(numbers, name))
        else:
            self.weights[name] = numbers
        return name


def write_graph(unet: UNet, channels: int, side: int) -> Graph:
    """Return the graph of a U-Net for images of `channels` × `side`².

    Raises TypeError for a layer that is not supported.
    """
    writer = Writer()
    embedding = _level_embedding(writer, unet)
    value, skips = _unshuffled(writer, Value("x", channels, side), unet.config.patch), []
    for block in cast(Iterable[Block], unet.input_blocks):
        value = _block(writer, block, value, embedding)
        skips.append(value)
    value = _block(writer, unet.middle_block, value, embedding)
    for block in cast(Iterable[Block], unet.output_blocks):
        skip = skips.pop()
        joined = writer.node("Concat", value.name, skip.name, axis=1)
        both = Value(joined, value.channels + skip.channels, value.side)
        value = _block(writer, block, both, embedding)
    for layer in unet.out:
        value = _layer(writer, layer, value)
    value = _shuffled(writer, value, unet.config.patch)
    writer.nodes.append(helper.make_node("Identity", [value.name], ["answer"]))
    return _finished(writer, (channels, side, side))


def _finished(writer: Writer, shape: tuple[int, int, int]) -> Graph:
    images: list[str | int | None] = ["images", *shape]
    graph = helper.make_graph(
        writer.nodes,
        "unet",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, images),
            helper.make_tensor_value_info("level", TensorProto.FLOAT, ["levels"]),
        ],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, images)],
        [*writer.small, *(_elsewhere(*item) for item in writer.weights.items())],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    return model.SerializeToString(), writer.weights


def _elsewhere(name: str, numbers: NDArray[Any]) -> Any:
    """Return a tensor without data, which the session receives in memory."""
    tensor = TensorProto(name=name, dims=numbers.shape)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(numbers.dtype)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="in memory")
    return tensor


def _level_embedding(writer: Writer, unet: UNet) -> str:
    """Return SiLU of the embedding (L, 4 · width), which every block with a level applies."""
    width = unet.config.model_channels
    column = writer.node("Unsqueeze", "level", writer.constant([1]))
    frequencies = level_frequencies(width)[None]
    angle = writer.node("Mul", column, writer.constant(frequencies))
    parts = [writer.node("Cos", angle), writer.node("Sin", angle)]
    if width % 2:
        parts.append(writer.node("Mul", column, writer.constant([0.0])))
    value = writer.node("Concat", *parts, axis=1)
    for layer in unet.time_embed:
        if isinstance(layer, nn.Linear):
            value = _linear(writer, layer, value)
        else:
            value = _silu(writer, value)
    return _silu(writer, value)


def _linear(writer: Writer, layer: nn.Linear, value: str) -> str:
    weights = writer.constant(layer.weight), writer.constant(layer.bias)
    return writer.node("Gemm", value, *weights, transB=1)


def _silu(writer: Writer, value: str) -> str:
    return writer.node("Mul", value, writer.node("Sigmoid", value))


def _block(writer: Writer, layers: Iterable[nn.Module], value: Value, embedding: str) -> Value:
    for layer in layers:
        if isinstance(layer, ResBlock):
            value = _res_block(writer, layer, value, embedding)
        elif isinstance(layer, AttentionBlock):
            value = _attention(writer, layer, value)
        else:
            value = _layer(writer, layer, value)
    return value


def _layer(writer: Writer, layer: nn.Module, value: Value) -> Value:
    if isinstance(layer, nn.Identity | nn.Dropout):
        return value
    if isinstance(layer, nn.SiLU):
        return Value(_silu(writer, value.name), value.channels, value.side)
    if isinstance(layer, GroupNorm):
        return _norm(writer, layer, value)
    if isinstance(layer, nn.Conv2d):
        return _convolution(writer, layer.weight, layer, value)
    if isinstance(layer, nn.AvgPool2d):
        half = writer.node("AveragePool", value.name, kernel_shape=[2, 2], strides=[2, 2])
        return Value(half, value.channels, value.side // 2)
    if isinstance(layer, Upsample):
        return _layer(writer, layer.conv, _doubled(writer, value))
    if isinstance(layer, Downsample):
        return _layer(writer, layer.op, value)
    raise TypeError(f"{type(layer).__name__} is not supported in ONNX")


def _convolution(
    writer: Writer, weight: Tensor, layer: nn.Conv1d | nn.Conv2d, value: Value
) -> Value:
    assert layer.bias is not None
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    name = writer.node(
        "Conv",
        value.name,
        writer.constant(weight),
        writer.constant(layer.bias),
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[padding] * 4,
    )
    return Value(name, layer.out_channels, (value.side + 2 * padding - kernel) // stride + 1)


def _doubled(writer: Writer, value: Value) -> Value:
    name = writer.node(
        "Resize",
        value.name,
        "",
        writer.constant([1.0, 1.0, 2.0, 2.0]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return Value(name, value.channels, 2 * value.side)


def _unshuffled(writer: Writer, value: Value, patch: int) -> Value:
    """Turn patches into channels in the order of `pixel_unshuffle`: channel, row, column.

    The order of ONNX's SpaceToDepth has the channel last.
    """
    if patch == 1:
        return value
    side, channels = value.side // patch, value.channels * patch**2
    shape = writer.constant([-1, value.channels, side, patch, side, patch])
    parted = writer.node("Reshape", value.name, shape)
    moved = writer.node("Transpose", parted, perm=[0, 1, 3, 5, 2, 4])
    name = writer.node("Reshape", moved, writer.constant([-1, channels, side, side]))
    return Value(name, channels, side)


def _shuffled(writer: Writer, value: Value, patch: int) -> Value:
    """Turn channels into patches of pixels, the inverse of `_unshuffled`."""
    if patch == 1:
        return value
    name = writer.node("DepthToSpace", value.name, blocksize=patch, mode="CRD")
    return Value(name, value.channels // patch**2, value.side * patch)


def _norm(writer: Writer, layer: nn.GroupNorm, value: Value) -> Value:
    """Add a group norm as an instance norm over groups, without a reshape if these are channels."""
    weight, bias, count = layer.weight, layer.bias, layer.num_groups
    if value.channels == count:
        both = writer.constant(weight), writer.constant(bias)
        name = writer.node("InstanceNormalization", value.name, *both, epsilon=layer.eps)
        return Value(name, value.channels, value.side)
    groups = writer.node("Reshape", value.name, writer.constant([0, count, -1]))
    plain = writer.constant([1.0] * count), writer.constant([0.0] * count)
    even = writer.node("InstanceNormalization", groups, *plain, epsilon=layer.eps)
    shape = writer.constant([0, value.channels, value.side, value.side])
    name = writer.node("Reshape", even, shape)
    name = writer.node("Mul", name, writer.constant(weight.view(-1, 1, 1)))
    name = writer.node("Add", name, writer.constant(bias.view(-1, 1, 1)))
    return Value(name, value.channels, value.side)


def _res_block(writer: Writer, block: ResBlock, value: Value, embedding: str) -> Value:
    norm, activation, convolution = block.in_layers
    h = _layer(writer, activation, _layer(writer, norm, value))
    if block.resample is not None:
        h, value = (_layer(writer, block.resample, each) for each in (h, value))
    h = _layer(writer, convolution, h)
    projection = block.emb_layers[1]
    assert isinstance(projection, nn.Linear)
    flat = _linear(writer, projection, embedding)
    level = writer.node("Unsqueeze", flat, writer.constant([2, 3]))
    if block.scale_shift:
        scale, shift = writer.split(level, 2, axis=1)
        h = _layer(writer, block.out_layers[0], h)
        more = writer.node("Add", scale, writer.constant([1.0]))
        name = writer.node("Add", writer.node("Mul", h.name, more), shift)
        rest = list(block.out_layers)[1:]
    else:
        name = writer.node("Add", h.name, level)
        rest = list(block.out_layers)
    h = Value(name, h.channels, h.side)
    for layer in rest:
        h = _layer(writer, layer, h)
    skipped = _layer(writer, block.skip_connection, value)
    return Value(writer.node("Add", skipped.name, h.name), h.channels, h.side)


def _attention(writer: Writer, block: AttentionBlock, value: Value) -> Value:
    channels, side, heads = value.channels, value.side, block.heads
    wide = _convolution(
        writer, block.qkv.weight[..., None], block.qkv, _norm(writer, block.norm, value)
    )
    width = channels // heads
    order, axis = ([3, heads], 1) if block.new_order else ([heads, 3], 2)
    shape = writer.constant([0, *order, width, side * side])
    parts = writer.split(writer.node("Reshape", wide.name, shape), 3, axis)
    q, k, v = (writer.node("Squeeze", part, writer.constant([axis])) for part in parts)
    turned = writer.node("Transpose", q, perm=[0, 1, 3, 2])
    scale = writer.constant([1 / math.sqrt(width)])
    products = writer.node("MatMul", writer.node("Mul", turned, scale), k)
    weights = writer.node("Softmax", products, axis=-1)
    seen = writer.node("MatMul", v, writer.node("Transpose", weights, perm=[0, 1, 3, 2]))
    image = writer.node("Reshape", seen, writer.constant([0, channels, side, side]))
    last = block.proj_out
    assert isinstance(last, nn.Conv1d)
    out = _convolution(writer, last.weight[..., None], last, Value(image, channels, side))
    return Value(writer.node("Add", value.name, out.name), channels, side)
