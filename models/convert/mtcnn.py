"""Converts the MTCNN weights of the `mtcnn` wheel into three ONNX files.

    python mtcnn.py WHEEL OUTPUT_FOLDER      writes pnet.onnx, rnet.onnx and onet.onnx

The network is that of Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks". The wheel keeps each net as a joblib pickle, which could run any code when loaded: the reader
below builds nothing but numpy arrays and refuses everything else.
"""

import io
import pickle
import sys
import zipfile
from pathlib import Path

import lz4.frame
import numpy as np

from graph import Graph

WEIGHTS = "mtcnn/assets/weights/{}.lz4"


class InlinedArray:
    """Stands in for joblib's array header: the array's bytes follow it in the stream."""

    def __setstate__(self, state):
        self.shape, self.dtype, self.order = state["shape"], state["dtype"], state["order"]

    def read(self, stream):
        padding = stream.read(1)[0]
        stream.read(padding)
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        flat = np.frombuffer(stream.read(size), dtype=self.dtype)
        return flat.reshape(self.shape, order=self.order)


class ArrayListUnpickler(pickle._Unpickler):
    """Reads a list of joblib arrays; any other global in the stream is an error."""

    ALLOWED = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): InlinedArray,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream):
        super().__init__(stream)
        self.stream = stream

    def find_class(self, module, name):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the weights ask for {module}.{name}, which they have no need of") from None

    def load_build(self):
        super().load_build()
        if isinstance(self.stack[-1], InlinedArray):
            self.stack[-1] = self.stack[-1].read(self.stream)

    dispatch[pickle.BUILD[0]] = load_build


class Weights:
    """The arrays of one net, taken in the order in which its layers were built."""

    def __init__(self, wheel, name):
        packed = wheel.read(WEIGHTS.format(name))
        stream = io.BytesIO(lz4.frame.decompress(packed))
        # pickle reads ahead through `peek` only where a stream has it; BytesIO has not, so positions stay exact.
        self.arrays = ArrayListUnpickler(stream).load()
        self.next = 0

    def take(self):
        array = np.ascontiguousarray(self.arrays[self.next], dtype=np.float32)
        self.next += 1
        return array

    def finish(self):
        if self.next != len(self.arrays):
            raise ValueError(f"{len(self.arrays) - self.next} arrays were left over")


def convolution(graph, weights, value, name, prelu=True):
    """A valid convolution (Keras HWIO to ONNX OIHW), with its PReLU when it has one."""
    kernel, bias = weights.take(), weights.take()
    value = graph.conv(value, name, kernel.transpose(3, 2, 0, 1), bias)
    if prelu:
        value = graph.prelu(value, name, weights.take().reshape(-1, 1, 1))
    return value


def pool(graph, value, name, size, padding):
    return graph.node("MaxPool", value, name, kernel_shape=[size, size], strides=[2, 2], auto_pad=padding)


def dense(graph, weights, value, name, output=None):
    kernel, bias = weights.take(), weights.take()
    return graph.gemm(value, name, kernel, bias, output)


def first_dense(graph, weights, value, name, channels, side):
    """The layer after Flatten: Keras flattened (width, height, channel), ONNX flattens (channel, height, width)."""
    kernel, bias = weights.take(), weights.take()
    kernel = kernel.reshape(side, side, channels, -1).transpose(2, 1, 0, 3).reshape(channels * side * side, -1)
    value = graph.node("Flatten", value, name + "_flatten", axis=1)
    value = graph.gemm(value, name, kernel, bias)
    return graph.prelu(value, name, weights.take())


def pnet(weights):
    graph = Graph("pnet", ["n", 3, "h", "w"])
    value = convolution(graph, weights, "input", "conv1")
    value = pool(graph, value, "pool1", 2, "SAME_UPPER")
    value = convolution(graph, weights, value, "conv2")
    value = convolution(graph, weights, value, "conv3")
    kernel, bias = weights.take(), weights.take()
    graph.conv(value, "box", kernel.transpose(3, 2, 0, 1), bias, output="box")
    logits = convolution(graph, weights, value, "class", prelu=False)
    graph.node("Softmax", logits, "prob", output="prob", axis=1)
    graph.output("box", ["n", 4, "oh", "ow"])
    graph.output("prob", ["n", 2, "oh", "ow"])
    return graph


def rnet(weights):
    graph = Graph("rnet", ["n", 3, 24, 24])
    value = convolution(graph, weights, "input", "conv1")
    value = pool(graph, value, "pool1", 3, "SAME_UPPER")
    value = convolution(graph, weights, value, "conv2")
    value = pool(graph, value, "pool2", 3, "VALID")
    value = convolution(graph, weights, value, "conv3")
    value = first_dense(graph, weights, value, "fc4", channels=64, side=3)
    dense(graph, weights, value, "fc5_1", output="box")
    logits = dense(graph, weights, value, "fc5_2")
    graph.node("Softmax", logits, "prob", output="prob", axis=1)
    graph.output("box", ["n", 4])
    graph.output("prob", ["n", 2])
    return graph


def onet(weights):
    graph = Graph("onet", ["n", 3, 48, 48])
    value = convolution(graph, weights, "input", "conv1")
    value = pool(graph, value, "pool1", 3, "SAME_UPPER")
    value = convolution(graph, weights, value, "conv2")
    value = pool(graph, value, "pool2", 3, "VALID")
    value = convolution(graph, weights, value, "conv3")
    value = pool(graph, value, "pool3", 2, "SAME_UPPER")
    value = convolution(graph, weights, value, "conv4")
    value = first_dense(graph, weights, value, "fc5", channels=128, side=3)
    dense(graph, weights, value, "fc6_1", output="box")
    dense(graph, weights, value, "fc6_2", output="landmarks")
    logits = dense(graph, weights, value, "fc6_3")
    graph.node("Softmax", logits, "prob", output="prob", axis=1)
    graph.output("box", ["n", 4])
    graph.output("landmarks", ["n", 10])
    graph.output("prob", ["n", 2])
    return graph


def main(wheel_path, folder):
    with zipfile.ZipFile(wheel_path) as wheel:
        for build in (pnet, rnet, onet):
            weights = Weights(wheel, build.__name__)
            graph = build(weights)
            weights.finish()
            graph.save(Path(folder) / f"{build.__name__}.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
