"""ONNX files of small networks, written node by node, and the same networks in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.data.networks_in_files import Aged
from tests.models import FourConv, seeded

N = "N"  # any number of pictures


class Residual(nn.Module):
    """A stem and a block with batch norm, whose result is added to what it was given; pooled, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.ModuleList([Block()])
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer1[0](x).mean((2, 3)))


class Block(nn.Module):
    """Convolution and batch norm, beside the way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)) + x)


class Graph:
    """The nodes and weights of an ONNX file, one after the other."""

    def __init__(self, opset: int = 13) -> None:
        import onnx

        self.onnx, self.opset = onnx, opset
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, *shape: int | str, integers: bool = False) -> str:
        kind = self.onnx.TensorProto.INT64 if integers else self.onnx.TensorProto.FLOAT
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def weight(self, name: str, value: Tensor) -> str:
        self.weights.append(self.onnx.numpy_helper.from_array(value.detach().numpy(), name))
        return name

    def node(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        made = self.onnx.helper.make_node(kind, list(inputs), [f"{name}_output"], name, domain=domain, **attributes)
        self.nodes.append(made)
        return f"{name}_output"

    def conv(self, name: str, x: str, layer: nn.Conv2d) -> str:
        given = [x, self.weight(f"{name}.weight", layer.weight)]
        given += [] if layer.bias is None else [self.weight(f"{name}.bias", layer.bias)]
        pads = [*map(int, layer.padding), *map(int, layer.padding)]
        return self.node("Conv", name, *given, kernel_shape=layer.kernel_size, strides=layer.stride, pads=pads)

    def norm(self, name: str, x: str, layer: nn.BatchNorm2d) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        given = [self.weight(f"{name}.{part}", getattr(layer, part)) for part in parts]
        return self.node("BatchNormalization", name, x, *given, epsilon=layer.eps)

    def linear(self, name: str, x: str, layer: nn.Linear) -> str:
        given = self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)
        return self.node("Gemm", name, x, *given, transB=1)

    def model(self, output: str, classes: int, batch: int | str = N) -> Any:
        make = self.onnx.helper
        outputs = [make.make_tensor_value_info(output, self.onnx.TensorProto.FLOAT, [batch, classes])]
        graph = make.make_graph(self.nodes, "net", self.inputs, outputs, self.weights)
        domains = {"": self.opset, **{node.domain: 1 for node in self.nodes if node.domain}}
        opsets = [make.make_opsetid(domain, version) for domain, version in domains.items()]
        return make.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 19 else 10)

    def save(self, path: Path, output: str, classes: int, batch: int | str = N) -> Path:
        self.onnx.save_model(self.model(output, classes, batch), str(path))
        return path


def four_conv(
    path: Path, batch: int | str = N, flatten: str = "Flatten", size: int | str = 32
) -> tuple[FourConv, Path]:
    """A network whose head flattens; `flatten` Reshape keeps the number of pictures in the file."""
    net, graph = seeded(FourConv()).eval(), Graph()
    x = graph.input("input.1", batch, 3, size, size)
    for number, layer in ((1, net.conv1), (2, net.conv2)):
        tail = "" if number == 1 else "_1"
        x = graph.node("Relu", f"/relu{tail}/Relu", graph.conv(f"/conv{number}/Conv", x, layer))
        x = graph.node("MaxPool", f"/pool{tail}/MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    if flatten == "Flatten":
        x = graph.node("Flatten", "/Flatten", x, axis=1)
    else:
        x = graph.node("Reshape", "/Reshape", x, graph.weight("shape", torch.tensor([batch, -1])))
    return net, graph.save(path, graph.linear("/fc/Gemm", x, net.fc), 2, batch)


def residual(path: Path, batch: int | str = N) -> tuple[Residual, Path]:
    """A network with batch norm and a way around, whose head pools."""
    net, graph = seeded(Residual()).eval(), Graph()
    with torch.no_grad():
        for norm in (net.bn1, net.layer1[0].bn):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 2)
    x = graph.norm(
        "/bn1/BatchNormalization", graph.conv("/conv1/Conv", graph.input("x", batch, 3, 32, 32), net.conv1), net.bn1
    )
    x = graph.node("Relu", "/Relu", x)
    block, scope = net.layer1[0], "/layer1/layer1.0"
    y = graph.norm(f"{scope}/bn/BatchNormalization", graph.conv(f"{scope}/conv/Conv", x, block.conv), block.bn)
    x = graph.node("Relu", f"{scope}/relu/Relu", graph.node("Add", f"{scope}/Add", y, x))
    x = graph.node("Flatten", "/Flatten", graph.node("GlobalAveragePool", "/GlobalAveragePool", x), axis=1)
    return net, graph.save(path, graph.linear("/fc/Gemm", x, net.fc), 3, batch)


def with_age(path: Path, *shape: int | str) -> tuple[nn.Module, Path]:
    """A network that takes a picture and an age of that shape, by which its logits are multiplied."""
    net, graph = seeded(Aged()).eval(), Graph()
    x, age = graph.input("image", N, 3, 16, 16), graph.input("age", *shape)
    x = graph.node("Relu", "/Relu", graph.conv("/conv/Conv", x, net.conv))
    x = graph.node("Flatten", "/Flatten", graph.node("GlobalAveragePool", "/GlobalAveragePool", x), axis=1)
    return net, graph.save(path, graph.node("Mul", "/Mul", graph.linear("/fc/Gemm", x, net.fc), age), 2)
