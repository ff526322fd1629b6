"""A small builder of ONNX graphs: opset 13, IR version 8, the same bytes on every run."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8


class Graph:
    """One graph with one input named `input`; a layer method returns the name of its output value."""

    def __init__(self, name, input_shape):
        self.name = name
        self.nodes, self.initializers, self.outputs = [], [], []
        self.inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)]

    def constant(self, name, array):
        array = np.ascontiguousarray(array)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator, inputs, name, output=None, **attributes):
        inputs = [inputs] if isinstance(inputs, str) else inputs
        output = output or name
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def conv(self, value, name, kernel, bias, output=None, stride=1, padding=0):
        inputs = [value, self.constant(name + "_w", kernel), self.constant(name + "_b", bias)]
        attributes = {"kernel_shape": list(kernel.shape[2:]), "strides": [stride] * 2, "pads": [padding] * 4}
        return self.node("Conv", inputs, name, output, **attributes)

    def prelu(self, value, name, slope):
        return self.node("PRelu", [value, self.constant(name + "_slope", slope)], name + "_prelu")

    def gemm(self, value, name, kernel, bias, output=None):
        inputs = [value, self.constant(name + "_w", kernel)]
        if bias is not None:
            inputs.append(self.constant(name + "_b", bias))
        return self.node("Gemm", inputs, name, output)

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="rollcall")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))
