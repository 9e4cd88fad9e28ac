"""Makes the ONNX files in the folder variants (Debian's python3-onnx): python3 variants.py

One small network, [N, 3, 16, 12] to 3 classes, written in the ways in which exporters write it. The tests compare what the
library reads with ONNX Runtime's result for the same file. Files in the folder refused are not RepVGG networks, or are
written in a way that is not supported.
"""
import pathlib
import shutil

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
HEIGHT, WIDTH, CLASSES = 16, 12, 3
SHAPES = [(3, 4, 2), (4, 4, 1), (4, 8, 2), (8, 8, 1)]


class Graph:
    """A graph that is built node by node."""

    def __init__(self, opset=13, dtype=np.float32):
        self.nodes, self.constants, self.opset, self.dtype = [], {}, opset, dtype
        self.random = np.random.default_rng(5)
        self.inputs = [helper.make_tensor_value_info("x", FLOAT, ["n", 3, HEIGHT, WIDTH])]
        self.outputs = ["y"]
        self.types = {}

    def value(self, *shape, scale=None):
        fan = np.prod(shape[1:]) if len(shape) > 1 else 4
        return self.random.standard_normal(shape) * (scale or (2 / fan) ** 0.5)

    def constant(self, name, array, dtype=None):
        self.constants[name] = numpy_helper.from_array(np.asarray(array, dtype or self.dtype), name)
        return name

    def integers(self, name, *values):
        return self.constant(name, values, np.int64)

    def node(self, operation, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operation, inputs, [output], name=output, **attributes))
        return output

    def save(self, name, folder="variants", **save):
        outputs = [helper.make_tensor_value_info(output, self.types.get(output, FLOAT), None) for output in self.outputs]
        graph = helper.make_graph(self.nodes, "variant", self.inputs, outputs, list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=7)
        (HERE / folder).mkdir(exist_ok=True)
        onnx.save(model, str(HERE / folder / f"{name.replace(' ', '-')}.onnx"), **save)


def conv(graph, x, name, size, shape, padding="pads", bias=True, kernel=None):
    """A convolution whose input is padded by half of the kernel's size, written in one of several ways."""
    inputs, outputs, stride = shape
    height, width = size if isinstance(size, tuple) else (size, size)
    weight = graph.value(outputs, inputs, height, width) if kernel is None else kernel
    names = [graph.constant(f"{name}.weight", weight)] + ([graph.constant(f"{name}.bias", graph.value(outputs, scale=0.2))] if bias else [])
    pads = [height // 2, width // 2] * 2
    attributes = {"strides": [stride, stride], "kernel_shape": [height, width]}
    if padding == "pad node" and any(pads):
        x = pad(graph, x, f"{name}.pad", [0, 0, *pads[:2], 0, 0, *pads[2:]])
    elif padding == "half pad node" and any(pads):
        x = pad(graph, x, f"{name}.pad", [0, 0, pads[0], 0, 0, 0, pads[2], 0])
        attributes["pads"] = [0, pads[1], 0, pads[3]]
    elif padding.startswith("PyTorch pad") and any(pads):
        x = pytorch_pad(graph, x, f"{name}.pad", [pads[1], pads[3], pads[0], pads[2]], padding.endswith("unfolded"))
    elif padding in ("SAME_UPPER", "SAME_LOWER") and stride == 1:
        attributes["auto_pad"] = padding
    elif padding == "VALID" and any(pads):
        x = pad(graph, x, f"{name}.pad", [0, 0, *pads[:2], 0, 0, *pads[2:]])
        attributes["auto_pad"] = "VALID"
    else:
        attributes["pads"] = pads
    return graph.node("Conv", [x, *names], name, **attributes)


def pad(graph, x, name, pads, value=0):
    if graph.opset < 11:
        return graph.node("Pad", [x], name, pads=pads, value=float(value))
    inputs = [x, graph.integers(f"{name}.pads", *pads), graph.constant(f"{name}.value", np.array(value))]
    if graph.opset >= 18:
        graph.integers(f"{name}.pads", *pads[2:4], *pads[6:])
        inputs.append(graph.integers(f"{name}.axes", 2, -1))
    return graph.node("Pad", inputs, name, mode="constant")


def pytorch_pad(graph, x, name, pads, unfolded=False):
    """F.pad as PyTorch 1.13 exports it in operator sets 11 to 17: the pads, from the last dimension to the first, are brought into ONNX's order."""
    def constant(part, value):
        return graph.node("Constant", [], f"{name}.{part}", value=numpy_helper.from_array(np.array(value, np.int64)))

    given = constant("given", pads)
    if unfolded:
        length = graph.node("Gather", [graph.node("Shape", [given], f"{name}.shape"), constant("first", 0)], f"{name}.length", axis=0)
        doubled = graph.node("Mul", [constant("rank", 4), constant("two", 2)], f"{name}.doubled")
        missing = graph.node("Sub", [doubled, length], f"{name}.difference")
        missing = graph.node("Cast", [graph.node("Unsqueeze", [missing, constant("axes", [0])], f"{name}.list")], f"{name}.missing", to=TensorProto.INT64)
    else:
        missing = constant("missing", [4])
    zeros = graph.node("ConstantOfShape", [missing], f"{name}.zeros", value=numpy_helper.from_array(np.array([0], np.int64)))
    pairs = graph.node("Reshape", [graph.node("Concat", [given, zeros], f"{name}.all", axis=0), constant("pair", [-1, 2])], f"{name}.pairs")
    backwards = graph.node("Slice", [pairs, constant("start", [-1]), constant("end", [-(2**63) + 1]), constant("axis", [0]), constant("step", [-1])], f"{name}.backwards")
    flat = graph.node("Reshape", [graph.node("Transpose", [backwards], f"{name}.turned", perm=[1, 0]), constant("flat", [-1])], f"{name}.sizes")
    return graph.node("Pad", [x, graph.node("Cast", [flat], f"{name}.cast", to=TensorProto.INT64), ""], name, mode="constant")


def norm(graph, x, name, channels, written="norm"):
    weight, bias, mean, variance = (graph.random.uniform(0.5, 1.5, channels), graph.value(channels, scale=0.3), graph.value(channels, scale=0.3), graph.random.uniform(0.5, 1.5, channels))
    if written == "norm":
        names = [graph.constant(f"{name}.{part}", array) for part, array in (("weight", weight), ("bias", bias), ("mean", mean), ("var", variance))]
        return graph.node("BatchNormalization", [x, *names], name, epsilon=1e-3)
    scale = weight / np.sqrt(variance + 1e-3)
    scale, shift = scale.reshape(1, -1, 1, 1), (bias - mean * scale).reshape(-1, 1, 1)
    x = graph.node("Mul", [x, graph.constant(f"{name}.scale", scale)], f"{name}.mul")
    return graph.node("Add", [graph.constant(f"{name}.shift", shift), x], name)


def body(graph, x, padding="pads", relu="Relu"):
    for i, shape in enumerate(SHAPES):
        x = conv(graph, x, f"conv{i}", 3, shape, padding)
        if relu == "Clip with a Cast":
            graph.node("Constant", [], f"zero{i}", value=numpy_helper.from_array(np.array(0, np.int64)))
            x = graph.node("Clip", [x, graph.node("Cast", [f"zero{i}"], f"low{i}", to=FLOAT), graph.constant(f"high{i}", np.array(np.inf))], f"relu{i}")
        elif relu == "Clip":
            x = graph.node("Clip", [x, graph.constant(f"low{i}", np.array(0))], f"relu{i}") if graph.opset >= 11 else graph.node("Clip", [x], f"relu{i}", min=0.0)
        else:
            x = graph.node("Relu", [x], f"relu{i}")
    return x


def branches(graph, x, written="norm", add="Add", asymmetric=False, padding="pads"):
    for i, (inputs, outputs, stride) in enumerate(SHAPES):
        sizes = [3, 1] + ([(1, 3), (3, 1)] if asymmetric else [])
        parts = [norm(graph, conv(graph, x, f"b{i}.{n}", size, (inputs, outputs, stride), padding, bias=False), f"b{i}.{n}.bn", outputs, written) for n, size in enumerate(sizes)]
        if inputs == outputs and stride == 1:
            parts.append(norm(graph, x, f"b{i}.identity", outputs, "norm"))
        if add == "Sum":
            total = graph.node("Sum", parts, f"b{i}.sum")
        else:
            total = parts[0]
            for n, part in enumerate(parts[1:]):
                total = graph.node("Add", [total, part], f"b{i}.add{n}")
        x = graph.node("Relu", [total], f"relu{i}")
    return x


def pool(graph, x, written="GlobalAveragePool"):
    if written == "ReduceMean":
        keep = {"keepdims": 0}
        if graph.opset >= 18:
            return graph.node("ReduceMean", [x, graph.integers("axes", -1, 2)], "pool", **keep)
        return graph.node("ReduceMean", [x], "pool", axes=[3, -2], **keep)
    if written == "ReduceMean of channels last":
        return graph.node("ReduceMean", [graph.node("Transpose", [x], "last", perm=[0, 2, 3, 1])], "pool", axes=[1, -2], keepdims=0)
    if written == "two ReduceMeans":
        first = graph.node("ReduceMean", [x], "rows", axes=[-1], keepdims=0)
        return graph.node("ReduceMean", [first], "pool", axes=[2], keepdims=0)
    if written == "two ReduceMeans that keep":
        first = graph.node("ReduceMean", [x], "rows", axes=[2], keepdims=1)
        return graph.node("ReduceMean", [first], "pool", axes=[-1], keepdims=0)
    if written == "AveragePool":
        return graph.node("AveragePool", [x], "pool", kernel_shape=[HEIGHT // 4, WIDTH // 4])
    return graph.node("GlobalAveragePool", [x], "pool")


def flatten(graph, x, written="Flatten"):
    if written == "Flatten":
        return graph.node("Flatten", [x], "flat")
    if written == "Squeeze":
        return graph.node("Squeeze", [x], "flat", axes=[2, 3]) if graph.opset < 13 else graph.node("Squeeze", [x, graph.integers("axes", 2, 3)], "flat")
    if written == "Reshape":
        return graph.node("Reshape", [x, graph.integers("shape", -1, 8)], "flat")
    # view(x.size(0), -1), as PyTorch exports it
    graph.node("Shape", [x], "shape")
    graph.node("Gather", ["shape", graph.constant("zero", np.array(0), np.int64)], "batch", axis=0)
    if graph.opset < 13:
        graph.node("Unsqueeze", ["batch"], "batches", axes=[0])
    else:
        graph.node("Unsqueeze", ["batch", graph.integers("first", 0)], "batches")
    graph.node("Constant", [], "rest", value=numpy_helper.from_array(np.array([-1], np.int64)))
    graph.node("Concat", ["batches", "rest"], "size", axis=0)
    return graph.node("Reshape", [x, "size"], "flat")


def linear(graph, x, output="y", written="Gemm", prefix="linear"):
    weight, bias = graph.value(CLASSES, 8), graph.value(CLASSES, scale=0.2)
    w, b = f"{prefix}.weight", f"{prefix}.bias"
    if written == "Gemm":
        return graph.node("Gemm", [x, graph.constant(w, weight), graph.constant(b, bias)], output, transB=1)
    if written == "Gemm without bias":
        return graph.node("Gemm", [x, graph.constant(w, weight.T)], output)
    if written == "Gemm scaled":
        return graph.node("Gemm", [x, graph.constant(w, weight), graph.constant(b, bias.reshape(1, -1))], output, transB=1, alpha=0.5, beta=-2.0)
    if written == "Gemm of a transposed input":
        return graph.node("Gemm", [graph.node("Transpose", [x], "turned", perm=[1, 0]), graph.constant(w, weight.T), graph.constant(b, np.array([0.25]))], output, transA=1, alpha=2.0)
    if written == "Conv":
        return graph.node("Flatten", [graph.node("Conv", [x, graph.constant(w, weight.reshape(CLASSES, 8, 1, 1)), graph.constant(b, bias)], f"{prefix}.conv")], output)
    product = output if written == "MatMul" else f"{prefix}.product"
    if written == "MatMul of a transposed constant":
        graph.node("MatMul", [x, graph.node("Transpose", [graph.constant(w, weight)], f"{prefix}.turned", perm=[1, 0])], product)
    elif written == "MatMul of a shaped constant":
        graph.constant(w, weight.T.reshape(2, 4, CLASSES))
        graph.node("MatMul", [x, graph.node("Reshape", [w, graph.integers(f"{prefix}.shape", -1, CLASSES)], f"{prefix}.shaped")], product)
    else:
        graph.node("MatMul", [x, graph.constant(w, weight.T)], product)
    return product if written == "MatMul" else graph.node("Add", [graph.constant(b, bias), product], output)


def network(graph, x="x", padding="pads", relu="Relu", pooled="GlobalAveragePool", flat="Flatten", classifier="Gemm", output="y"):
    x = pool(graph, body(graph, x, padding, relu), pooled)
    if ("ReduceMean" not in pooled or pooled.endswith("keep")) and classifier != "Conv":
        x = flatten(graph, x, flat)
    return linear(graph, x, output, classifier)


def save(name, opset=13, **options):
    graph = Graph(opset)
    network(graph, **options)
    graph.save(name)


def main():
    for folder in ("variants", "refused"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for classifier in ("Gemm without bias", "Gemm scaled", "Gemm of a transposed input", "Conv", "MatMul", "MatMul and Add", "MatMul of a transposed constant", "MatMul of a shaped constant"):
        save(f"classifier {classifier}", classifier=classifier)
    for opset in (9, 18):
        for flat in ("Flatten", "Squeeze", "Reshape", "Shape"):
            save(f"opset {opset} flat {flat}", opset, flat=flat)
        for pooled in ("ReduceMean", "AveragePool"):
            save(f"opset {opset} pool {pooled}", opset, pooled=pooled)
        for padding in ("pad node", "half pad node", "VALID"):
            save(f"opset {opset} padding {padding}", opset, padding=padding)
        save(f"opset {opset} relu Clip", opset, relu="Clip")
    save("relu Clip with a Cast", relu="Clip with a Cast")
    save("pool ReduceMean of channels last", pooled="ReduceMean of channels last")
    save("pool two ReduceMeans", pooled="two ReduceMeans")
    save("pool two ReduceMeans that keep", pooled="two ReduceMeans that keep")
    save("padding SAME_UPPER", padding="SAME_UPPER")
    save("padding SAME_LOWER", padding="SAME_LOWER")
    save("padding PyTorch", padding="PyTorch pad")
    save("padding PyTorch unfolded", padding="PyTorch pad unfolded")
    for name, options in {"norms": {}, "scales": {"written": "scale"}, "Sum": {"add": "Sum"}, "asymmetric": {"asymmetric": True}, "padded": {"padding": "pad node"}}.items():
        graph = Graph()
        linear(graph, flatten(graph, pool(graph, branches(graph, "x", **options))))
        graph.save(f"branches {name}")

    # Weights of 64 bits, which are cast; networks of 16 bits, with and without a Cast around them.
    graph = Graph(dtype=np.float64)
    network(graph)
    for node in list(graph.nodes):
        for i, name in enumerate(node.input):
            if name in graph.constants:
                node.input[i] = f"{name}.single"
                graph.nodes.insert(0, helper.make_node("Cast", [name], [node.input[i]], to=FLOAT))
    graph.save("double weights")
    graph = Graph(dtype=np.float16)
    graph.node("Cast", [network(graph, graph.node("Cast", ["x"], "cast", to=HALF), output="narrow")], "y", to=FLOAT)
    graph.save("half inside")
    graph = Graph(dtype=np.float16)
    graph.inputs = [helper.make_tensor_value_info("x", HALF, ["n", 3, HEIGHT, WIDTH])]
    graph.types["y"] = HALF
    network(graph)
    graph.save("half outside")

    # Normalisations.
    for name in ("Sub Div", "half Sub Div", "Div Sub Mul", "computed"):
        graph = Graph(dtype=np.float16 if name.startswith("half") else np.float32)
        x = "x"
        if graph.dtype == np.float16:
            x = graph.node("Cast", [x], "cast", to=HALF)
        if name == "Div Sub Mul":
            x = graph.node("Div", [x, graph.constant("255", np.array(255))], "unit")
        mean, std = np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1), np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
        factor = 1 if name == "Div Sub Mul" else 255
        x = graph.node("Sub", [x, graph.constant("mean", mean * factor)], "centred")
        x = graph.node("Mul", [x, graph.constant("scale", 1 / std)], "scaled") if name == "Div Sub Mul" else graph.node("Div", [x, graph.node("Mul", [graph.constant("std", std), graph.constant("255", np.array(255))], "computed")], "scaled") if name == "computed" else graph.node("Div", [x, graph.constant("std", std * factor)], "scaled")
        y = network(graph, x, output="narrow" if graph.dtype == np.float16 else "y")
        if graph.dtype == np.float16:
            graph.node("Cast", [y], "y", to=FLOAT)
        graph.save(f"normalisation {name}")

    # Sizes that are not fixed, or not said at all.
    for name, shape in {"parameters": ["n", 3, "h", "w"], "nothing": [None, None, None, None], "batch": [1, 3, "h", WIDTH], "no shape": None}.items():
        graph = Graph()
        graph.inputs = [helper.make_tensor_value_info("x", FLOAT, shape)]
        network(graph)
        graph.save(f"size {name}")

    # Two outputs: features and logits; probabilities and logits; features and logits with two more biases; logits of two classifiers.
    graph = Graph()
    network(graph)
    graph.outputs = ["relu3", "flat", "y"]
    graph.save("outputs features")
    graph = Graph()
    graph.node("Softmax", [network(graph)], "p", axis=1)
    graph.outputs = ["y", "p"]
    graph.save("outputs probabilities")
    graph = Graph()
    graph.node("Add", [graph.node("Add", [network(graph, classifier="MatMul and Add", output="z"), graph.constant("shift", graph.value(CLASSES))], "shifted"), graph.constant("prior", graph.value(1))], "y")
    graph.outputs = ["flat", "y"]
    graph.save("outputs several sums")
    graph = Graph()
    network(graph)
    linear(graph, "flat", "z", "Gemm", "other")
    graph.outputs = ["y", "z"]
    graph.save("two classifiers", "refused")

    # Constants as operations, as inputs of the graph (before IR version 4), and in other files.
    graph = Graph()
    network(graph)
    graph.nodes = [helper.make_node("Constant", [], [name], value=tensor) for name, tensor in graph.constants.items()] + graph.nodes
    graph.constants = {}
    graph.save("constants as operations")
    graph = Graph()
    network(graph)
    graph.inputs += [helper.make_tensor_value_info(name, tensor.data_type, tensor.dims) for name, tensor in graph.constants.items()]
    graph.save("constants as inputs")
    for name, single in (("one file", True), ("a file for each", False)):
        graph = Graph()
        network(graph)
        graph.save(f"constants in {name}", save_as_external_data=True, all_tensors_to_one_file=single, location="constants-in-one-file.data", size_threshold=16)

    # Weights of 32 bits that are rounded to 16.
    graph = Graph()
    network(graph)
    for node, name in ((node, "conv2.weight" if node.op_type == "Conv" else "linear.weight") for node in list(graph.nodes) if node.output[0] in ("conv2", "y")):
        graph.nodes.insert(0, helper.make_node("Cast", [name], [f"{name}.half"], to=HALF if name == "conv2.weight" else TensorProto.BFLOAT16))
        graph.nodes.insert(1, helper.make_node("Cast", [f"{name}.half"], [f"{name}.rounded"], to=FLOAT))
        node.input[1] = f"{name}.rounded"
    graph.save("rounded weights")

    # Operations that change nothing.
    graph = Graph()
    x = graph.node("Dropout", [graph.node("Identity", ["x"], "same"), graph.constant("ratio", np.array(0.5))], "dropped")
    x = flatten(graph, pool(graph, graph.node("Identity", [body(graph, pad(graph, x, "none", [0] * 8))], "also")))
    linear(graph, graph.node("Dropout", [x], "head.dropped"))
    graph.save("operations that change nothing")

    # Not supported.
    def refused(name, edit, **options):
        graph = Graph()
        edit(graph, network(graph, **options))
        graph.save(name, "refused")

    def replace(graph, name, operation, more=(), **attributes):
        node = next(node for node in graph.nodes if node.name == name)
        index = graph.nodes.index(node)
        graph.nodes[index] = helper.make_node(operation, [*node.input, *more], [*node.output], name=name, **attributes)

    refused("relu6", lambda graph, _: replace(graph, "relu1", "Clip", [graph.constant("low", np.array(0)), graph.constant("high", np.array(6))]))
    refused("last relu6", lambda graph, _: replace(graph, "relu3", "Clip", [graph.constant("low", np.array(0)), graph.constant("high", np.array(6))]))
    refused("leaky", lambda graph, _: replace(graph, "relu0", "LeakyRelu"))
    refused("maximum", lambda graph, _: replace(graph, "pool", "GlobalMaxPool"))
    refused("rows", lambda graph, _: replace(graph, "pool", "ReduceMean", axes=[2, 1]))
    refused("rows twice", lambda graph, _: replace(graph, "rows", "ReduceMean", axes=[2], keepdims=1), pooled="two ReduceMeans")
    refused("window", lambda graph, _: replace(graph, "pool", "AveragePool", kernel_shape=[2, 3]))
    refused("integers", lambda graph, _: cast_to_integer(graph))
    refused("padded with ones", lambda graph, _: graph.constant("conv1.pad.value", np.array(1)), padding="pad node")
    refused("reflected", lambda graph, _: replace_mode(graph), padding="pad node")
    refused("divided", lambda graph, _: graph.node("Div", [graph.constant("one", np.array(1)), graph.nodes[-1].output[0]], "z") and setattr(graph, "outputs", ["z"]))
    refused("log", lambda graph, y: graph.node("LogSoftmax", [y], "z") and setattr(graph, "outputs", ["z"]))
    def after(graph, name, operation, *more, swap=False):
        """Puts an operation with constants, or with the result of another operation, behind an operation."""
        index = next(i for i, node in enumerate(graph.nodes) if node.output[0] == name)
        for node in graph.nodes:
            node.input[:] = [f"{name}.after" if value == name else value for value in node.input]
        graph.nodes.insert(index + 1, helper.make_node(operation, [name, *more], [f"{name}.after"], name=f"{name}.after"))
        return index + 1

    def silu(graph, name):
        graph.nodes.insert(after(graph, name, "Mul", f"{name}.sigmoid"), helper.make_node("Sigmoid", [name], [f"{name}.sigmoid"], name=f"{name}.sigmoid"))

    refused("SiLU", lambda graph, _: silu(graph, "conv1"))
    refused("last SiLU", lambda graph, _: silu(graph, "conv3"))
    refused("halved map", lambda graph, _: after(graph, "relu1", "Mul", graph.constant("half", np.array(0.5))))
    refused("kernel shape", lambda graph, _: replace(graph, "conv1", "Conv", kernel_shape=[5, 5], pads=[1, 1, 1, 1]))
    for opset in (0, -1, 26, 100):
        graph = Graph()
        network(graph)
        graph.opset = opset
        graph.save(f"operator set {opset}", "refused")
    graph = Graph(6)  # is_test is 0 by default
    linear(graph, flatten(graph, pool(graph, branches(graph, "x"))))
    graph.save("training mode opset 6", "refused")
    for name, shape in {"size too large": ["n", 3, 20000, 20000], "height too large": ["n", 3, 2**20, 12], "height beyond an int": ["n", 3, 2**40, 12]}.items():
        graph = Graph()
        graph.inputs = [helper.make_tensor_value_info("x", FLOAT, shape)]
        network(graph)
        graph.save(name, "refused")
    graph = Graph()
    network(graph)
    node = next(node for node in graph.nodes if node.name == "conv1")
    graph.constant("conv1.weight", graph.value(4, 2, 3, 3))
    node.attribute.append(helper.make_attribute("group", 2))
    graph.save("groups in one block", "refused")
    # Before operator set 14, further outputs of a batch norm mean training mode.
    for opset in (9, 13):
        graph = Graph(opset)
        linear(graph, flatten(graph, pool(graph, branches(graph, "x"))))
        for node in graph.nodes:
            if node.op_type == "BatchNormalization":
                node.output.extend(f"{node.name}.{part}" for part in ("mean", "var", "saved_mean", "saved_var"))
        graph.save(f"training mode opset {opset}", "refused")
    for name, where in (("rounded map", "relu1"), ("rounded features", "flat"), ("rounded input", "x"), ("rounded logits", "y")):
        refused(name, lambda graph, _, where=where: rounded(graph, where))
    graph = Graph(dtype=np.float16)  # all in 16 bits but the classifier
    x = flatten(graph, pool(graph, body(graph, graph.node("Cast", ["x"], "narrow", to=HALF))))
    graph.dtype = np.float32
    linear(graph, graph.node("Cast", [x], "wide", to=FLOAT))
    graph.save("half without the classifier", "refused")
    for name, constant, value in (("NaN in a kernel", "conv1.weight", np.nan), ("infinity in a bias", "conv2.bias", -np.inf), ("NaN in the classifier", "linear.weight", np.nan), ("infinity in the classifier", "linear.bias", np.inf)):
        refused(name, lambda graph, _, constant=constant, value=value: spoil(graph, constant, value))
    for name, constant, value in (("infinite variance", "b1.0.bn.var", np.inf), ("NaN in a mean", "b1.identity.mean", np.nan), ("NaN in a branch", "b2.1.weight", np.nan)):
        graph = Graph()
        linear(graph, flatten(graph, pool(graph, branches(graph, "x"))))
        spoil(graph, constant, value)
        graph.save(name, "refused")
    graph = Graph(dtype=np.float64)
    network(graph)
    for node in list(graph.nodes):
        for i, name in enumerate(node.input):
            if name in graph.constants:
                node.input[i] = f"{name}.single"
                graph.nodes.insert(0, helper.make_node("Cast", [name], [node.input[i]], to=FLOAT))
    spoil(graph, "conv3.weight", 1e300)
    graph.save("too large", "refused")
    refused("padded on one side by PyTorch", lambda graph, _: one_side(graph), padding="PyTorch pad")
    graph = Graph()
    network(graph, padding="SAME_UPPER")
    replace(graph, "conv2", "Conv", auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3])
    graph.save("padded on one side", "refused")
    graph = Graph()
    graph.outputs = ["relu3", "flat"]
    network(graph)
    graph.save("no classifier among two", "refused")


def cast_to_integer(graph):
    graph.nodes[0].input[0] = "float"
    graph.nodes.insert(0, helper.make_node("Cast", ["x"], ["rounded"], name="rounded", to=TensorProto.INT32))
    graph.nodes.insert(1, helper.make_node("Cast", ["rounded"], ["float"], name="float", to=FLOAT))


def rounded(graph, value):
    """Rounds a value to 16 bits and back."""
    for node in graph.nodes:
        node.input[:] = [f"{value}.wide" if name == value else name for name in node.input]
    graph.outputs = [f"{value}.wide" if name == value else name for name in graph.outputs]
    after = next((i + 1 for i, node in enumerate(graph.nodes) if node.output[0] == value), 0)
    graph.nodes.insert(after, helper.make_node("Cast", [value], [f"{value}.narrow"], name=f"{value}.narrow", to=HALF))
    graph.nodes.insert(after + 1, helper.make_node("Cast", [f"{value}.narrow"], [f"{value}.wide"], name=f"{value}.wide", to=FLOAT))


def spoil(graph, name, value):
    array = numpy_helper.to_array(graph.constants[name]).copy()
    array.flat[min(5, array.size - 1)] = value
    graph.constants[name] = numpy_helper.from_array(array, name)


def one_side(graph):
    node = next(node for node in graph.nodes if node.name == "conv1.pad.given")
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array([2, 0, 2, 0], np.int64)))


def replace_mode(graph):
    node = next(node for node in graph.nodes if node.name == "conv1.pad")
    node.attribute[0].s = b"reflect"


main()
