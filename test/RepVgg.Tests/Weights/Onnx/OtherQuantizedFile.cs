using System.Collections.Immutable;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Quantized ONNX files as other programs write them: three blocks and a classifier, with one property that <see cref="OnnxWriter"/> never writes.</summary>
internal static class OtherQuantizedFile
{
    /// <summary>Creates a file.</summary>
    /// <param name="kind">The property; empty for none.</param>
    public static byte[] Create(string kind)
    {
        var random = new Random(1);
        var graph = new OnnxGraphBuilder();
        graph.Message.Text(OnnxSchema.Graph.Name, "other");
        graph.Declare(OnnxSchema.Graph.Input, graph.DefineName("input"), null, 3, 12, 14);
        graph.Declare(OnnxSchema.Graph.Output, "logits", null, 4);
        float scale = 1f;
        string map = Store("input", "input_q", scale, zeroPoint: 0);
        map = Block(map, "a", 3, 8, 2, false);
        map = Block(map, "b", 8, 8, 1, kind == "float-second-block");
        map = Block(map, "c", 8, 12, 2, false);
        map = graph.Node("GlobalAveragePool", "pool", [map]);
        if (kind != "quantized-flat-features")
            map = Store(map, "pool_q", scale = 0.02f, 0);
        map = graph.Node("Flatten", "flat", [map], ("axis", 1));
        if (kind == "quantized-flat-features")
            map = Store(map, "flat_q", scale = 0.02f, 0);
        var (weights, bias) = Weights("linear", [4, 12], false);
        graph.Node("Gemm", kind == "quantized-logits" ? "raw_logits" : "logits", [map, weights, bias], ("transB", 1));
        if (kind == "quantized-logits")
            graph.Node("Identity", "logits", [Store("raw_logits", "logits_q", 1e-6f, 0)]);

        var model = new ProtoMessage();
        model.Integer(OnnxSchema.Model.IrVersion, 8);
        var opset = new ProtoMessage();
        opset.Text(OnnxSchema.Opset.Domain, "");
        opset.Integer(OnnxSchema.Opset.Version, 13);
        model.Message(OnnxSchema.Model.OpsetImport, opset);
        model.Message(OnnxSchema.Model.Graph, graph.Message);
        using var stream = new MemoryStream();
        model.WriteTo(stream);
        return stream.ToArray();

        string Block(string value, string name, int inputs, int outputs, int stride, bool isFloat)
        {
            var (kernel, bias) = Weights(name, [outputs, inputs, 3, 3], isFloat);
            value = graph.Node("Conv", $"{name}_conv", [value, kernel, bias], ("kernel_shape", new[] { 3, 3 }), ("strides", new[] { stride, stride }), ("pads", new[] { 1, 1, 1, 1 }));
            if (kind == "scaled-convolution" && name == "b")
                value = graph.Node("Mul", "b_scaled", [value, Floats("b_factor", [1, outputs, 1, 1], [.. Enumerable.Range(0, outputs).Select(i => 0.5f + (0.1f * i))])]);
            if (kind == "quantized-inside" && name == "b")
                value = Store(value, "b_inside", 0.3f, 128);
            if (kind != "no-relu")
                value = graph.Node("Relu", $"{name}_relu", [value]);
            return Store(value, $"{name}_q", scale = name switch { "a" => 0.5f, "b" => 0.25f, _ => 0.1f }, kind == "asymmetric-map" ? 7 : 0);
        }

        (string Kernel, string Bias) Weights(string name, int[] shape, bool isFloat)
        {
            int count = shape.Aggregate(1, (product, size) => product * size), outputs = shape[0];
            float[] scales = [.. Enumerable.Range(0, outputs).Select(i => 0.001f + 0.0001f * i)];
            if (kind == "per-tensor")
                scales = [0.0015f];
            if (kind == "negative-scale")
                scales[1] = -0.01f;
            if (kind == "input-channel-scales")
                scales = [.. Enumerable.Range(0, shape[1]).Select(i => 0.001f + 0.0001f * i)];
            int[] axes = scales.Length == 1 ? [] : [scales.Length];
            if (kind == "rounded-in-graph")
            {
                string scalesOfFloats = Floats($"{name}_w_scale", axes, [.. scales]), zero = graph.Constant($"{name}_w_zero", axes, ImmutableArray.Create(new sbyte[scales.Length]));
                string floats = Floats($"{name}_w_float", shape, [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.5) / 4)]);
                string rounded = graph.Node("QuantizeLinear", $"{name}_w_rounded", [floats, scalesOfFloats, zero], ("axis", 0));
                return (graph.Node("DequantizeLinear", $"{name}_w", [rounded, scalesOfFloats, zero], ("axis", 0)),
                    Floats($"{name}_b", [outputs], [.. Enumerable.Range(0, outputs).Select(i => (random.Next(2000) - 800) * (scale * scales[i]))]));
            }
            if (isFloat)
            {
                return (Floats($"{name}_w", shape, [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.4) / 10)]),
                    Floats($"{name}_b", [outputs], [.. Enumerable.Range(0, outputs).Select(_ => (float)random.NextDouble() - 0.3f)]));
            }
            string scaleName = Floats($"{name}_w_scale", axes, [.. scales]), weights, zeros;
            if (kind == "unsigned-weights")
            {
                weights = graph.Constant($"{name}_w_q", shape, Bytes(count, 1, 256));
                zeros = graph.Constant($"{name}_w_zero", axes, ImmutableArray.Create([.. Enumerable.Repeat((byte)128, scales.Length)]));
            }
            else
            {
                weights = graph.Constant($"{name}_w_q", shape, ImmutableArray.Create([.. Bytes(count, 1, 256).Select(value => (sbyte)(value - 128))]));
                zeros = graph.Constant($"{name}_w_zero", axes, ImmutableArray.Create([.. Enumerable.Repeat((sbyte)(kind == "asymmetric-weights" ? 5 : 0), scales.Length)]));
            }
            int axis = kind == "input-channel-scales" ? 1 : 0;
            string kernel = axes.Length == 0
                ? graph.Node("DequantizeLinear", $"{name}_w", [weights, scaleName, zeros])
                : graph.Node("DequantizeLinear", $"{name}_w", [weights, scaleName, zeros], ("axis", axis));
            if (kind is "float-bias" or "input-channel-scales")
            {
                // Whole numbers of steps, so that nothing is rounded.
                return (kernel, Floats($"{name}_b", [outputs], [.. Enumerable.Range(0, outputs).Select(i => (random.Next(2000) - 800) * (scale * scales[i % scales.Length]))]));
            }
            int[] integers = [.. Enumerable.Range(0, outputs).Select(_ => random.Next(2000) - 800)];
            float factor = kind == "other-bias-scale" ? 0.5f : 1;
            if (factor != 1)
                integers = Array.ConvertAll(integers, value => 2 * value);
            string biasScale = Floats($"{name}_b_scale", axes, [.. scales.Select(value => scale * value * factor)]);
            string stored = graph.Constant($"{name}_b_q", [outputs], ImmutableArray.Create(integers));
            return (kernel, axes.Length == 0 ? graph.Node("DequantizeLinear", $"{name}_b", [stored, biasScale]) : graph.Node("DequantizeLinear", $"{name}_b", [stored, biasScale], ("axis", 0)));
        }

        string Store(string value, string name, float scale, int zeroPoint)
        {
            string scaleName = kind == "constants-in-nodes" ? graph.Node("Identity", $"{name}_scale", [Floats($"{name}_scale_value", [], [scale])]) : Floats($"{name}_scale", [], [scale]);
            string[] parameters = kind switch
            {
                "signed-maps" => [scaleName, graph.Constant($"{name}_zero", [], ImmutableArray.Create((sbyte)(zeroPoint - 128)))],
                "words" => [scaleName, Words($"{name}_zero")],
                "no-relu" when zeroPoint == 0 => [scaleName],
                _ => [scaleName, graph.Constant($"{name}_zero", [], ImmutableArray.Create((byte)zeroPoint))],
            };
            string stored = graph.Node("QuantizeLinear", $"{name}_quantized", [value, .. parameters]);
            return graph.Node("DequantizeLinear", $"{name}_dequantized", [stored, .. parameters]);
        }

        string Floats(string name, int[] shape, ImmutableArray<float> values) => graph.Constant(name, shape, values, OnnxPrecision.Single);

        // A zero point of unsigned words.
        string Words(string name)
        {
            const int UInt16 = 4;
            var tensor = new ProtoMessage();
            tensor.Integer(OnnxSchema.Tensor.DataType, UInt16);
            tensor.Text(OnnxSchema.Tensor.Name, graph.DefineName(name));
            tensor.Values<byte>(OnnxSchema.Tensor.RawData, [0, 0]);
            graph.Message.Message(OnnxSchema.Graph.Initializer, tensor);
            return name;
        }

        ImmutableArray<byte> Bytes(int count, int least, int end) => [.. Enumerable.Range(0, count).Select(_ => (byte)random.Next(least, end))];
    }
}
