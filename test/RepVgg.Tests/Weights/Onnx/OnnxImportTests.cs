using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Graphs that PyTorch exported (Golden/onnx/make.py says how), and other ways to write the same network.</summary>
public class OnnxImportTests
{
    private const double Tolerance = 1e-5;

    [Theory]
    [InlineData("deploy", SqueezeExcitation.None, 1)]
    [InlineData("deploy-view", SqueezeExcitation.None, 1)]
    [InlineData("training", SqueezeExcitation.None, 1)]
    [InlineData("training-norms", SqueezeExcitation.None, 1)]
    [InlineData("training-groups", SqueezeExcitation.None, 2)]
    [InlineData("training-before", SqueezeExcitation.BeforeRelu, 1)]
    [InlineData("training-after", SqueezeExcitation.AfterRelu, 1)]
    [InlineData("training-mean", SqueezeExcitation.None, 1)]
    public void Graphs_exported_by_PyTorch_are_fused(string name, SqueezeExcitation squeezeExcitation, int groups)
    {
        var input = GoldenFiles.Floats(Path.Combine("onnx", $"{name}-input.npy"));
        var logits = GoldenFiles.Floats(Path.Combine("onnx", $"{name}-logits.npy"));
        string path = GoldenFiles.PathOf(Path.Combine("onnx", $"{name}.onnx"));
        var network = OnnxReader.Read(path);
        Compare.Close(logits.Values, ReferenceNetwork.Logits(network, input.Values, 2), Tolerance);

        Assert.Null(OnnxReader.ReadDescription(path));
        var expected = new RepVggArchitecture
        {
            Name = "RepVGG",
            InputChannels = input.Shape[1],
            Groups = groups,
            SqueezeExcitation = squeezeExcitation,
            Stages = [new("stage0", 16, 1, 2), new("stage1", 16, 2, 2), new("stage2", 32, 2, 2)],
        };
        Assert.Equal(expected, network.Architecture);
        Assert.Equal((16, 20, 5), (network.ImageHeight, network.ImageWidth, network.Classes));
        bool normalized = name is "deploy-view" or "training-after";
        Assert.Equal(normalized ? [120f, 110f, 100f] : new float[input.Shape[1]], network.Normalization.Mean.ToArray());
        Assert.Equal(normalized ? 1f / 55 : 1f, network.Normalization.Scale[^1] * (normalized ? 50f / 55 : 1f), 1e-7f);
        OnnxRoundTripTests.AssertSame(network, OnnxRoundTripTests.RoundTrip(network));
    }

    [Fact]
    public void A_classifier_may_be_a_product_and_a_sum()
    {
        SameLogits(model =>
        {
            var gemm = model.Nodes[^1];
            gemm.Operation = "MatMul";
            gemm.Attributes.Clear();
            gemm.Outputs[0] = "product";
            Transpose(model, "linear.weight");
            model.Nodes.Add(Node("Add", "logits", "linear.bias", "product"));
            gemm.Inputs.RemoveAt(2);
        });
    }

    [Fact]
    public void A_classifier_may_be_stored_inputs_first() => SameLogits(model =>
    {
        model.Nodes[^1].Attributes.Clear();
        Transpose(model, "linear.weight");
    });

    [Fact]
    public void Operations_that_change_nothing_are_passed_over() => SameLogits(model =>
    {
        var relu = model.Nodes.First(node => node.Operation == "Relu");
        string output = relu.Outputs[0];
        relu.Outputs[0] = "before";
        model.Nodes.Add(Node("Identity", "between", "before"));
        model.Nodes.Add(Node("Dropout", output, "between"));
    });

    /// <summary>The graph of a training form whose identity has no batch norm: the input of the block is added to its convolutions.</summary>
    [Fact]
    public void An_identity_may_have_no_batch_norm()
    {
        // One graph keeps the batch norms of the identities, with weights by which they change nothing.
        OnnxModel neutral = Parse("training-norms"), direct = Parse("training-norms");
        int identities = 0;
        foreach (var model in (OnnxModel[])[neutral, direct])
        {
            var rectified = model.Nodes.Where(node => node.Operation == "Relu").SelectMany(node => node.Outputs).ToHashSet();
            foreach (var norm in model.Nodes.Where(node => node.Operation == "BatchNormalization" && rectified.Contains(node.Inputs[0])).ToArray())
            {
                identities++;
                int channels = model.Constants[norm.Inputs[1]].Shape[0];
                float epsilon = norm.Float("epsilon", 1e-5f);
                if (model == neutral)
                {
                    model.SetFloats(norm.Inputs[1], [.. Enumerable.Repeat(1f, channels)]);
                    model.SetFloats(norm.Inputs[2], new float[channels]);
                    model.SetFloats(norm.Inputs[3], new float[channels]);
                    model.SetFloats(norm.Inputs[4], [.. Enumerable.Repeat(1 - epsilon, channels)]);
                    continue;
                }
                foreach (var reader in model.Nodes)
                {
                    for (int i = 0; i < reader.Inputs.Count; i++)
                        reader.Inputs[i] = reader.Inputs[i] == norm.Outputs[0] ? norm.Inputs[0] : reader.Inputs[i];
                }
                model.Nodes.Remove(norm);
            }
        }
        Assert.Equal(4, identities);
        float[] pixels = GoldenFiles.Floats(Path.Combine("onnx", "training-norms-input.npy")).Values;
        Compare.Close(
            ReferenceNetwork.Logits(new OnnxNetworkReader(neutral, () => null).Read(), pixels, 2),
            ReferenceNetwork.Logits(new OnnxNetworkReader(direct, () => null).Read(), pixels, 2), Tolerance);

        static OnnxModel Parse(string name)
        {
            using var file = File.OpenRead(GoldenFiles.PathOf(Path.Combine("onnx", $"{name}.onnx")));
            return OnnxParser.Parse(file);
        }
    }

    [Fact]
    public void Constants_may_be_operations() => SameLogits(model =>
    {
        var tensor = model.Constants["linear.bias"];
        model.Constants.Remove("linear.bias");
        var node = Node("Constant", "linear.bias");
        node.Attributes["value"] = new OnnxAttribute { Tensor = tensor };
        model.Nodes.Insert(0, node);
    });

    [Fact]
    public void A_normalisation_may_be_written_in_other_ways()
    {
        // (x - m) * s == x * s + (-m s) == (-m + x) / (1 / s)
        SameLogits(model =>
        {
            var (sub, mul) = (model.Nodes[0], model.Nodes[1]);
            var (mean, scale) = (model.Constants["normalize.mean"].Floats!.Values, model.Constants["normalize.scale"].Floats!.Values);
            sub.Operation = "Mul";
            sub.Inputs[1] = "normalize.scale";
            mul.Operation = "Add";
            mul.Inputs[1] = "normalize.mean";
            model.SetFloats("normalize.mean", [.. mean.Zip(scale, (m, s) => -m * s)]);
        });
        SameLogits(model =>
        {
            var (sub, mul) = (model.Nodes[0], model.Nodes[1]);
            sub.Operation = "Add";
            sub.Inputs.Reverse();
            model.SetFloats("normalize.mean", [.. model.Constants["normalize.mean"].Floats!.Values.Select(value => -value)], [3, 1, 1]);
            mul.Operation = "Div";
            model.SetFloats("normalize.scale", [.. model.Constants["normalize.scale"].Floats!.Values.Select(value => 1 / value)]);
        });
        SameLogits(model =>
        {
            model.Nodes.RemoveRange(0, 2);
            model.Nodes[0].Inputs[0] = "input";
        }, network => network with { Normalization = Normalization.Identity(3) });
    }

    [Fact]
    public void Values_may_be_stored_as_lists_or_doubles()
    {
        // An initializer written by hand: dims 2, float_data packed; and dims 1, data_type double, raw_data.
        Assert.Equal([1f, 2f], Tensor([0x08, 0x02, 0x10, 0x01, 0x22, 0x08, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]).Floats!.Values);
        Assert.Equal([1f], Tensor([0x08, 0x01, 0x10, 0x0b, 0x4a, 0x08, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]).Floats!.Values);
        Assert.Equal([1f], Tensor([0x08, 0x01, 0x10, 0x0a, 0x2a, 0x02, 0x80, 0x78]).Floats!.Values);
        Assert.Equal([7L, 300L], Tensor([0x0a, 0x01, 0x02, 0x10, 0x07, 0x3a, 0x03, 0x07, 0xac, 0x02]).Integers!);

        static OnnxConstant Tensor(byte[] tensor)
        {
            byte[] initializer = [0x2a, (byte)tensor.Length, .. tensor];
            return OnnxParser.Parse(new MemoryStream([0x3a, (byte)initializer.Length, .. initializer])).Constants[""];
        }
    }

    [Fact]
    public void A_bias_may_be_added_after_the_convolution() => SameLogits(model =>
    {
        var conv = model.Nodes.First(node => node.Operation == "Conv");
        string bias = conv.Inputs[2], output = conv.Outputs[0];
        conv.Inputs.RemoveAt(2);
        conv.Outputs[0] = "unbiased";
        model.Reshape(bias, model.Constants[bias].Shape[0], 1, 1);
        model.Nodes.Add(Node("Add", output, bias, "unbiased"));
    });

    [Theory]
    [InlineData("is in training mode", "training-norms", "BatchNormalization", "training_mode")]
    [InlineData("a stride, a dilation or groups", "deploy", "Conv", "group")]
    public void Attributes_that_change_the_meaning_are_refused(string expected, string name, string operation, string attribute) =>
        Refused(expected, name, model => model.Nodes.Last(node => node.Operation == operation).Attributes[attribute] = new OnnxAttribute { Integer = 3 });

    [Fact]
    public void Branches_that_do_not_belong_together_are_refused()
    {
        Refused("/BatchNormalization' of 16 channels follows 32", "training-norms", model =>
        {
            var norms = model.Nodes.Where(node => node.Operation == "BatchNormalization").ToList();
            for (int i = 1; i < 5; i++)
                norms[^1].Inputs[i] = norms[0].Inputs[i];
            norms[^1].Inputs[0] = model.Nodes.Last(node => node.Operation == "Conv").Outputs[0];
        });
        Refused("differ in length", "training-norms", model =>
        {
            var norms = model.Nodes.Where(node => node.Operation == "BatchNormalization").ToList();
            norms[^1].Inputs[3] = norms[0].Inputs[3];
        });
        Refused("a variance of BatchNormalization", "training-norms", model =>
            model.Constants[model.Nodes.First(node => node.Operation == "BatchNormalization").Inputs[4]].Floats!.Values[2] = -1);
        Refused("'fused kernel' holds", "training-norms", model =>
        {
            var norm = model.Nodes.First(node => node.Operation == "BatchNormalization");
            var conv = model.Nodes.First(node => node.Operation == "Conv" && node.Outputs[0] == norm.Inputs[0]);
            Array.Fill(model.Constants[norm.Inputs[1]].Floats!.Values, 3e38f);
            Array.Fill(model.Constants[conv.Inputs[1]].Floats!.Values, 100);
        });
        Refused("that differ in channels, stride or groups are added", "training-norms", model =>
        {
            foreach (var attribute in model.Nodes.First(node => node.Operation == "Conv").Attributes.Where(item => item.Key == "strides"))
                attribute.Value.Integers[0] = attribute.Value.Integers[1] = 1;
        });
        Refused("identity of 3 channels", "training-norms", model => model.Nodes.First(node => node.Operation == "Add").Inputs[1] = model.Inputs[0].Name);
        Refused("branches that read", "training-norms", model => model.Nodes.Last(node => node.Operation == "Conv").Inputs[0] = "x");
        Refused("the bias of Conv", "deploy", model =>
        {
            var convs = model.Nodes.Where(node => node.Operation == "Conv").ToList();
            convs[^1].Inputs[2] = convs[0].Inputs[2];
        });
        Refused("a cycle", "training", model =>
        {
            var add = model.Nodes.Last(node => node.Operation == "Add");
            add.Inputs[1] = add.Outputs[0];
        });
        Refused("the padding SAME, which is not supported", "deploy", model =>
        {
            var attributes = model.Nodes.First(node => node.Operation == "Conv").Attributes;
            attributes.Remove("pads");
            attributes["auto_pad"] = new OnnxAttribute { Text = "SAME" };
        });
        Refused("has no fixed height and width", "deploy", model => model.Inputs[0] = model.Inputs[0] with { Shape = [null, 3, null, null] });
        Refused("a height of 99999 pixels", "deploy", model => model.Inputs[0] = model.Inputs[0] with { Shape = [1, 3, 99999, 9] });
    }

    [Fact]
    public void Groups_in_a_block_that_has_none_are_refused() => Refused("its block 1 (with the output", "deploy", model =>
    {
        var convolution = model.Nodes.Where(node => node.Operation == "Conv").ElementAt(1);
        int[] shape = model.Constants[convolution.Inputs[1]].Shape;
        convolution.Attributes["group"] = new OnnxAttribute { Integer = 2 };
        model.SetFloats(convolution.Inputs[1], new float[shape[0] * shape[1] / 2 * 9], [shape[0], shape[1] / 2, 3, 3]);
    });

    [Fact]
    public async Task A_stream_that_cannot_seek_is_read()
    {
        using var pipe = new System.IO.Pipes.AnonymousPipeServerStream(System.IO.Pipes.PipeDirection.Out);
        using var end = new System.IO.Pipes.AnonymousPipeClientStream(System.IO.Pipes.PipeDirection.In, pipe.ClientSafePipeHandle);
        byte[] file = File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("onnx", "deploy.onnx")));
        var writing = Task.Run(() =>
        {
            pipe.Write(file);
            pipe.Dispose();
        });
        Assert.Equal(5, OnnxReader.Read(end).Classes);
        await writing;
    }

    private static void Refused(string expected, string name, Action<OnnxModel> damage)
    {
        using var file = File.OpenRead(GoldenFiles.PathOf(Path.Combine("onnx", $"{name}.onnx")));
        var model = OnnxParser.Parse(file);
        damage(model);
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => new OnnxNetworkReader(model, () => null).Read()).Message);
    }

    /// <summary>Rewrites a network's graph, without its description, into an equal one.</summary>
    private static void SameLogits(Action<OnnxModel> rewrite, Func<DeployNetwork, DeployNetwork>? expectation = null)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 2, 2)), 10, 12, 4);
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream);
        stream.Position = 0;
        var model = OnnxParser.Parse(stream);
        rewrite(model);
        float[] pixels = RandomNetworks.Pixels(network, 2);
        Compare.Close(
            ReferenceNetwork.Logits(expectation?.Invoke(network) ?? network, pixels, 2),
            ReferenceNetwork.Logits(new OnnxNetworkReader(model, () => null).Read(), pixels, 2), Tolerance);
    }

    private static OnnxNode Node(string operation, string output, params string[] inputs)
    {
        var node = new OnnxNode { Operation = operation };
        node.Outputs.Add(output);
        node.Inputs.AddRange(inputs);
        return node;
    }

    private static void Transpose(OnnxModel model, string name)
    {
        var matrix = model.Constants[name];
        int rows = matrix.Shape[0], columns = matrix.Shape[1];
        float[] values = matrix.Floats!.Values;
        model.SetFloats(name, [.. Enumerable.Range(0, values.Length).Select(i => values[i % rows * columns + i / rows])], [columns, rows]);
    }
}
