"""Gives a network that was exported for one input a free batch size.

    python dynamic_batch.py NETWORK OUTPUT_FOLDER      writes NAME_dynamic.onnx

Works for a network in which nothing but its Reshapes states the batch. A Reshape to (1, ...) becomes one to (0, ...),
which keeps the first side of its input; any other first side is refused, as is a network whose outputs do not follow.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

BATCH = "n"


def free_first_side(values):
    """Names the first side, which must be 1, instead of fixing it."""
    for value in values:
        first = value.type.tensor_type.shape.dim[0]
        if first.dim_value != 1:
            raise ValueError(f"{value.name} is not made for a batch of one")
        first.dim_param = BATCH


def free_reshapes(graph):
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    constants.update({tensor.name: tensor for tensor in graph.initializer})
    for node in graph.node:
        if node.op_type != "Reshape":
            continue
        tensor = constants[node.input[1]]
        shape = numpy_helper.to_array(tensor).copy()
        if shape[0] != 1:
            raise ValueError(f"{node.name} reshapes to {shape.tolist()}, not to a batch of one")
        shape[0] = 0
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(shape), tensor.name))


def main(source, folder):
    model = onnx.load(source)
    graph = model.graph
    free_first_side(graph.input)
    free_reshapes(graph)
    # Sides that were worked out for a batch of one say nothing any more: checking the network works them out anew.
    del graph.value_info[:]
    outputs = [output.name for output in graph.output]
    free_first_side(graph.output)
    onnx.checker.check_model(model, full_check=True)
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    for output in inferred.output:
        if output.name in outputs and output.type.tensor_type.shape.dim[0].dim_param != BATCH:
            raise ValueError(f"{output.name} does not follow the batch")
    Path(folder, Path(source).stem + "_dynamic.onnx").write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
