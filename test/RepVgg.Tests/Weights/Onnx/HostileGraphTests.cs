using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Graphs that ask for much more time or memory than their files are large: they are read or refused with memory in proportion to the file.</summary>
public class HostileGraphTests
{
    // The operations of a node, its names and lists take most of the memory.
    private const int BytesPerByte = 50;
    private const long SpareBytes = 40 << 20;

    private static string[] Twice(string value) => [value, value];

    /// <summary>The graphs by name, for a number of nodes.</summary>
    internal static readonly Dictionary<string, Func<int, byte[]>> Graphs = new()
    {
        // Branches.
        ["sum doubled"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Add", Twice).EndBlock($"v{n}"),
        ["sum of three doubled"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Sum", value => [value, value, value]).EndBlock($"v{n}"),
        ["sums of 900 inputs"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(Math.Max(2, n / 900), "v", "Sum", value => [.. Enumerable.Repeat(value, 900)]).EndBlock($"v{Math.Max(2, n / 900)}"),
        ["sums of the two values before"] = n =>
        {
            var graph = CraftedGraph.Start().Conv("r0", "k", "v0").Conv("r0", "k", "v1");
            for (int i = 2; i <= n; i++)
                graph.Node("Add", $"v{i}", $"v{i - 1}", $"v{i - 2}");
            return graph.EndBlock($"v{n}");
        },
        ["chain of sums"] = n => CraftedGraph.Start().Conv("r0", "k", "b").Conv("r0", "k", "v0").Chain(n, "v", "Add", value => [value, "b"]).EndBlock($"v{n}"),
        ["chain of products"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Mul", value => [value, "one"]).EndBlock($"v{n}"),
        ["products of many channels"] = n => Branches(CraftedGraph.Start(4096), n, graph => graph.Floats("scalar", [], 1), "Mul", "scalar"),
        ["chain of batch norms"] = n => CraftedGraph.Start().Floats("p", [1], 1).Conv("r0", "k", "v0").Chain(n, "v", "BatchNormalization", value => [value, "p", "p", "p", "p"]).EndBlock($"v{n}"),
        ["batch norms of many channels"] = n => Branches(CraftedGraph.Start(4096), n, graph => graph.Floats("p", [4096], 1), "BatchNormalization", "p", "p", "p", "p"),
        ["sum of itself"] = n => CraftedGraph.Start().Conv("r0", "k", "b").Node("Add", "v0", $"v{n}", "b").Chain(n, "v", "Add", value => [value, "b"]).EndBlock($"v{n}"),
        ["one kernel in many blocks"] = n => Blocks(
            new CraftedGraph(96).Floats("k", [96, 96, 3, 3], 0.001f).Node("Conv", "c0", new[] { "x", "k" }, CraftedGraph.Padded).Node("Relu", "r0", "c0"),
            n,
            (graph, i) => graph.Node("Conv", $"c{i}", new[] { $"r{i - 1}", "k" }, CraftedGraph.Padded)),
        ["one small kernel in many blocks"] = n => Blocks(CraftedGraph.Start(), n, (graph, i) => graph.Conv($"r{i - 1}", "k", $"c{i}")),
        ["doubled sums in many blocks"] = n => Blocks(CraftedGraph.Start(), n / 8, (graph, i) => graph.Conv($"r{i - 1}", "k", $"v{i}.0").Chain(6, $"v{i}.", "Add", Twice).Node("Identity", $"c{i}", $"v{i}.6")),
        ["one gate in many blocks"] = n => Blocks(
            CraftedGraph.Start().Floats("w", [1, 1, 1, 1], 1),
            n / 8,
            (graph, i) => graph.Conv($"r{i - 1}", "k", $"m{i}").Node("GlobalAveragePool", $"p{i}", $"m{i}").Node("Conv", $"d{i}", $"p{i}", "w").Node("Relu", $"e{i}", $"d{i}")
                .Node("Conv", $"u{i}", $"e{i}", "w").Node("Sigmoid", $"s{i}", $"u{i}").Node("Mul", $"c{i}", $"m{i}", $"s{i}")),

        // Aliases.
        ["identities"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Identity", value => [value]).EndBlock($"v{n}"),
        ["casts"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Cast", value => [value], ("to", 1L)).EndBlock($"v{n}"),
        ["casts to 16 bits"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Cast", value => [value], ("to", 10L)).EndBlock($"v{n}"),
        ["pads by nothing"] = n => CraftedGraph.Start().Integers("zeros", 0, 0, 0, 0, 0, 0, 0, 0).Conv("r0", "k", "v0").Chain(n, "v", "Pad", value => [value, "zeros"]).EndBlock($"v{n}"),
        ["pads by a long list"] = n => CraftedGraph.Start().Integers("zeros", new long[60_000]).Conv("r0", "k", "v0").Chain(n, "v", "Pad", value => [value, "zeros"]).EndBlock($"v{n}"),
        ["dropouts"] = n => CraftedGraph.Start().Conv("r0", "k", "v0").Chain(n, "v", "Dropout", value => [value]).EndBlock($"v{n}"),
        ["cycle of identities"] = n => CraftedGraph.Start().Node("Identity", "v0", $"v{n}").Chain(n, "v", "Identity", value => [value]).EndBlock($"v{n}"),
        ["cycle of blocks behind identities"] = n => CraftedGraph.Start().Conv($"v{n}", "k", "c1").Node("Relu", "v0", "c1").Chain(n, "v", "Identity", value => [value]).End($"v{n}"),
        ["cycle of many blocks behind identities"] = n => Blocks(CraftedGraph.Start().Chain(n / 2, "v", "Identity", value => [value]), n / 8, (graph, i) => graph.Conv(i == 1 ? $"v{n / 2}" : $"r{i - 1}", "k", $"c{i}"), last: "v0"),
        ["outputs behind identities"] = n =>
        {
            var graph = CraftedGraph.Start().Node("Identity", "v0", "logits").Chain(n, "v", "Identity", value => [value]);
            for (int i = 0; i < n; i++)
                graph.Output($"v{i}");
            return graph.End("r0");
        },
        ["outputs with biases"] = n =>
        {
            var graph = CraftedGraph.Start().Floats("bias", [2], 1).Node("Add", "v0", "logits", "bias").Chain(n, "v", "Add", value => [value, "bias"]);
            for (int i = 0; i < n; i++)
                graph.Output($"v{i}");
            return graph.End("r0");
        },
        ["normalisation steps"] = n => CraftedGraph.Start().Node("Mul", "v0", "x", "one").Chain(n, "v", "Mul", value => [value, "one"]).Conv($"v{n}", "k", "c1").EndBlock("c1"),
        ["reshapes before the classifier"] = n => CraftedGraph.Start().Node("GlobalAveragePool", "v0", "r0").Chain(n, "v", "Flatten", value => [value]).Floats("w", [1, 2], 1).Node("MatMul", "y", $"v{n}", "w").Output("y").End("r0"),

        // Constants.
        ["constants added"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 1, 1], 0), n, "Add", Twice),
        ["constants of the two values before"] = n =>
        {
            var graph = CraftedGraph.Start().Floats("v0", [1, 1, 1, 1], 0).Floats("v1", [1, 1, 1, 1], 0);
            for (int i = 2; i <= n; i++)
                graph.Node("Add", $"v{i}", $"v{i - 1}", $"v{i - 2}");
            return graph.Conv("r0", "k", "c").Node("Add", "s", "c", $"v{n}").EndBlock("s");
        },
        ["constants concatenated"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 1, 1], 0), n, "Concat", Twice, ("axis", 0L)),
        ["large constants transposed"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 300, 300], 0), n, "Transpose", value => [value], ("perm", new long[] { 1, 0, 3, 2 })),
        ["large constants reshaped"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 300, 300], 0).Integers("shape", 1, 1, 90_000, 1), n, "Reshape", value => [value, "shape"]),
        ["one large constant reshaped"] = n => Sums(CraftedGraph.Start().Floats("big", [1, 1, 300, 300], 0).Integers("shape", 1, 1, 90_000, 1).Floats("v0", [1, 1, 90_000, 1], 0), n, (graph, i) => graph.Node("Reshape", $"w{i}", "big", "shape")),
        ["large constants flattened"] = n => Constant(CraftedGraph.Start().Floats("v0", [300, 300], 0), n, "Flatten", value => [value]),
        ["large constants cast"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 300, 300], 0), n, "Cast", value => [value], ("to", 10L)),
        ["large constants added"] = n => Constant(CraftedGraph.Start().Floats("v0", [1, 1, 300, 300], 0), n, "Add", Twice),
        ["large constants sliced"] = n => Constant(CraftedGraph.Start().Floats("v0", [300, 300], 0).Integers("from", 0, 0).Integers("to", 300, 300), n, "Slice", value => [value, "from", "to"]),
        ["large constants gathered"] = n => Constant(CraftedGraph.Start().Floats("v0", [300, 300], 0).Integers("rows", [.. Enumerable.Range(0, 300).Select(row => (long)row)]), n, "Gather", value => [value, "rows"]),
        ["empty constant with large dimensions sliced"] = n => Constant(CraftedGraph.Start().Empty("v0", int.MaxValue, int.MaxValue, 0).Integers("from", 0, 0).Integers("to", long.MaxValue, long.MaxValue), n, "Slice", value => [value, "from", "to"]),
        ["empty constant with large dimensions transposed"] = n => Constant(CraftedGraph.Start().Empty("v0", int.MaxValue, int.MaxValue, int.MaxValue, 0), n, "Transpose", value => [value]),
        ["empty constant with large dimensions reshaped"] = n => Constant(CraftedGraph.Start().Empty("v0", 0, 5).Integers("shape", int.MaxValue, int.MaxValue, int.MaxValue, 0), n, "Reshape", value => [value, "shape"]),
        ["dimensions added"] = n => Constant(CraftedGraph.Start().Floats("v0", [1], 0).Integers("axes", 0, 1, 2, 3, 4, 5, 6, 7), n, "Unsqueeze", value => [value, "axes"]),
        ["long lists of axes"] = n => Constant(CraftedGraph.Start().Floats("v0", [1], 0).Integers("axes", new long[60_000]), n, "Squeeze", value => [value, "axes"]),
        ["long shapes"] = n => Constant(CraftedGraph.Start().Floats("v0", [1], 0).Integers("shape", [.. Enumerable.Repeat(1L, 60_000)]), n, "Reshape", value => [value, "shape"]),
        ["constants of a shape"] = n => Sums(CraftedGraph.Start().Integers("shape", 1, 1, 1000, 1000).Floats("v0", [1, 1, 1, 1], 0), n, (graph, i) => graph.Node("ConstantOfShape", $"w{i}", "shape")),
        ["a constant of two billion values"] = n => Constant(CraftedGraph.Start().Integers("v0", int.MaxValue), n, "ConstantOfShape", value => [value]),
        ["constants in a cycle"] = n => CraftedGraph.Start().Node("Add", "v0", $"v{n}", "one").Chain(n, "v", "Add", value => [value, "one"]).Conv("r0", "k", "c").Node("Add", "s", "c", $"v{n}").EndBlock("s"),
    };

    /// <summary>A graph in which a chain of operations computes the constant v1, v2 .. from v0, which is added to the last convolution.</summary>
    private static byte[] Constant(CraftedGraph graph, int n, string operation, Func<string, string[]> inputs, params (string Name, object Value)[] attributes) =>
        graph.Chain(n, "v", operation, inputs, attributes).Conv("r0", "k", "c").Node("Add", "s", "c", $"v{n}").EndBlock("s");

    /// <summary>The same, where each constant is the sum of the one before and another one, w0, w1 ..</summary>
    private static byte[] Sums(CraftedGraph graph, int n, Action<CraftedGraph, int> other)
    {
        for (int i = 0; i < n; i++)
        {
            other(graph, i);
            graph.Node("Add", $"v{i + 1}", $"v{i}", $"w{i}");
        }
        return graph.Conv("r0", "k", "c").Node("Add", "s", "c", $"v{n}").EndBlock("s");
    }

    /// <summary>A graph with many branches of 60 operations with the same constants.</summary>
    private static byte[] Branches(CraftedGraph graph, int n, Action<CraftedGraph> constants, string operation, params string[] others)
    {
        constants(graph);
        int branches = Math.Clamp(n / 60, 2, 60);
        for (int i = 0; i < branches; i++)
            graph.Conv("r0", "k", $"b{i}.0").Chain(60, $"b{i}.", operation, value => [value, .. others]);
        return graph.Node("Sum", "s", [.. Enumerable.Range(0, branches).Select(i => $"b{i}.60")]).EndBlock("s");
    }

    /// <summary>A graph with many blocks.</summary>
    private static byte[] Blocks(CraftedGraph graph, int n, Action<CraftedGraph, int> convolution, string? last = null)
    {
        for (int i = 1; i <= n; i++)
        {
            convolution(graph, i);
            graph.Node("Relu", i == n && last is not null ? last : $"r{i}", $"c{i}");
        }
        return graph.End(last ?? $"r{n}");
    }

    public static TheoryData<string> Names => [.. Graphs.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void The_memory_follows_the_size_of_the_file(string name)
    {
        foreach (int nodes in (int[])[100, 2000, 30_000])
        {
            byte[] file = Graphs[name](nodes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            string? refusal = Refusal(() => OnnxReader.Read(new MemoryStream(file)));
            Assert.True(refusal is null or { Length: < 1000 }, refusal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, SpareBytes + (long)BytesPerByte * file.Length);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_engine_opens_or_refuses_what_the_reader_does(string name)
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("graph.onnx", Graphs[name](300));
        string? refusal = Refusal(() => WeightsFile.Read(path));
        string? opened = Refusal(() => InferenceEngine.Open(path).Dispose());
        // The engine needs no architecture, so that it also runs networks that are no RepVGG as a whole.
        if (opened is not null)
            Assert.Equal(refusal, opened);
    }

    [Theory]
    [InlineData("sum doubled", 7, "is the sum of more than 64 branches of 'r0'")]
    [InlineData("chain of sums", 1000, "more than 64 operations without an activation lead from")]
    [InlineData("sum of itself", 10, "more than 64 operations without an activation lead from")]
    [InlineData("one kernel in many blocks", 4000, "its weights, where a constant counts for each operation that uses it, need more than 19")]
    [InlineData("cycle of identities", 100, "form a cycle")]
    [InlineData("cycle of blocks behind identities", 30_000, "form a cycle: the map 'v0' is computed from itself")]
    [InlineData("large constants transposed", 100, "the constants that its operations compute need more than 18")]
    [InlineData("constants concatenated", 64, "the constants that its operations compute need more than 16")]
    [InlineData("a constant of two billion values", 1, "ConstantOfShape with output 'v1'")]
    [InlineData("dimensions added", 2, "Unsqueeze with output 'v1' computes a constant of 9 dimensions, of at most 8")]
    [InlineData("constants in a cycle", 10, "more than 64 operations without an activation lead from")]
    public void The_message_names_the_limit_and_the_place(string name, int nodes, string expected) =>
        Assert.Contains(expected, Refusal(() => OnnxReader.Read(new MemoryStream(Graphs[name](nodes)))));

    [Theory]
    [InlineData("sum doubled", 4, 16)]
    [InlineData("chain of sums", 20, 21)]
    [InlineData("chain of products", 50, 1)]
    [InlineData("identities", 30_000, 1)]
    [InlineData("constants added", 30_000, 1)]
    public void Graphs_within_the_limits_are_read(string name, int nodes, int branches)
    {
        var network = OnnxReader.Read(new MemoryStream(Graphs[name](nodes)));
        Assert.Equal([0.1f, 0.1f * branches], [network.Blocks[0].Kernel[4], network.Blocks[1].Kernel[4]]);
    }

    [Fact]
    public void Tensors_that_share_the_bytes_of_an_external_file_count_one_by_one()
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.data", new byte[96 * 96 * 9 * 4]);
        var graph = new CraftedGraph(96);
        string map = "x";
        for (int i = 0; i < 100; i++)
        {
            graph.External($"k{i}", [96, 96, 3, 3], OnnxSchema.Tensor.Float, "weights.data").Node("Conv", $"c{i}", new[] { map, $"k{i}" }, CraftedGraph.Padded).Node("Relu", $"r{i}", $"c{i}");
            map = $"r{i}";
        }
        string path = folder.Write("external.onnx", graph.End(map));
        Assert.Contains("its weights, where a constant counts for each operation that uses it, need more than", Refusal(() => OnnxReader.Read(path)));
        Assert.Contains("its weights, where a constant counts for each operation that uses it, need more than", Refusal(() => InferenceEngine.Open(path)));
    }

    [Fact]
    public void An_external_file_under_many_names_counts_once()
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.data", new byte[1 << 20]);
        Directory.CreateDirectory(Path.Combine(folder.Path, "d"));
        var graph = CraftedGraph.Start(96);
        for (int i = 0; i < 200; i++)
            graph.External($"unused{i}", [1 << 18], OnnxSchema.Tensor.Float, string.Concat(Enumerable.Repeat("d/../", i)) + "weights.data");
        graph.External("shared", [96, 96, 3, 3], OnnxSchema.Tensor.Float, "weights.data");
        for (int i = 1; i <= 300; i++)
            graph.Node("Conv", $"c{i}", new[] { $"r{i - 1}", "shared" }, CraftedGraph.Padded).Node("Relu", $"r{i}", $"c{i}");
        string path = folder.Write("external.onnx", graph.End("r300"));
        const string Expected = "its weights, where a constant counts for each operation that uses it, need more than";
        Assert.Contains(Expected, Refusal(() => OnnxReader.Read(path)));
        Assert.Contains(Expected, Refusal(() => InferenceEngine.Open(path)));
    }

    public static TheoryData<string, string> Overflows => new()
    {
        { "products", "'fused kernel' holds" },
        { "sum of kernels", "'fused kernel' holds" },
        { "sum of biases", "'fused bias' holds" },
        { "sum in the head", "holds a value that is infinite" },
        { "normalisation of zero", "the normalisation that its operations compute cannot be used: the mean of channel 0" },
        { "normalisation too large", "with which pixels from 0 to 255 become infinite" },
    };

    [Theory]
    [MemberData(nameof(Overflows))]
    public void Finite_constants_whose_combination_is_not_finite_are_refused(string name, string expected)
    {
        CraftedGraph graph = CraftedGraph.Start().Floats("big", [1, 1, 1, 1], 3e38f).Floats("bigs", [2], 3e38f).Floats("zero", [1, 1, 1, 1], 0).Floats("k3", [1, 1, 3, 3], 3e38f).Conv("r0", "k3", "c1");
        byte[] file = name switch
        {
            "products" => graph.Node("Mul", "a", "c1", "big").EndBlock("a"),
            "sum of kernels" => graph.Conv("r0", "k3", "c2").Node("Add", "a", "c1", "c2").EndBlock("a"),
            "sum of biases" => graph.Node("Add", "a", "c1", "big").Node("Add", "b", "a", "big").EndBlock("b"),
            "sum in the head" => graph.Node("Add", "a", "logits", "bigs").Node("Add", "b", "a", "bigs").Output("b").End("r0"),
            "normalisation of zero" => graph.Node("Mul", "n", "x", "zero").Conv("n", "k", "c2").EndBlock("c2"),
            _ => graph.Node("Mul", "n", "x", "big").Conv("n", "k", "c2").EndBlock("c2"),
        };
        using var folder = new TemporaryFolder();
        string path = folder.Write("graph.onnx", file);
        Assert.Contains(expected, Refusal(() => InferenceEngine.Open(path).Dispose()));
        Assert.NotNull(Refusal(() => OnnxReader.Read(path)));
    }

    [Fact]
    public void Integers_of_external_files_are_limited()
    {
        using var folder = new TemporaryFolder();
        folder.Write("weights.data", new byte[1 << 20]);
        var graph = CraftedGraph.Start();
        for (int i = 0; i < 1000; i++)
            graph.External($"i{i}", [1 << 17], OnnxSchema.Tensor.Int64, "weights.data");
        string path = folder.Write("external.onnx", graph.End("r0"));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("its external files hold more than 1048576 integers", Refusal(() => OnnxReader.Read(path)));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, SpareBytes);
    }

    [Theory]
    [InlineData("doubled-24-times.onnx")]
    [InlineData("doubled-60-times.onnx")]
    public void Doubled_sums_are_refused(string name)
    {
        string path = GoldenFiles.PathOf(Path.Combine("hostile", name));
        const string Expected = "is the sum of more than 64 branches";
        Assert.Contains(Expected, Refusal(() => InferenceEngine.Open(path)));
        Assert.Contains(Expected, Refusal(() => OnnxReader.Read(path)));
    }

    private static string? Refusal(Action read)
    {
        try
        {
            read();
            return null;
        }
        catch (InvalidDataException error)
        {
            return error.Message;
        }
    }
}
