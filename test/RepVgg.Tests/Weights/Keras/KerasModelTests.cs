using System.IO.Compression;
using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using Xunit;

namespace RepVgg.Tests.Weights.Keras;

/// <summary>Whole models (.keras), which consist of weights and a configuration. The weights are those of the golden data; the configuration is written as Keras writes it.</summary>
public sealed class KerasModelTests
{
    private static readonly string _weights = GoldenFiles.PathOf(Path.Combine("keras", "plain.weights.h5"));

    [Theory]
    [InlineData(32, 32, CompressionLevel.NoCompression)]
    [InlineData(33, 33, CompressionLevel.Fastest)]
    [InlineData(30, 33, CompressionLevel.Optimal)]
    public void A_whole_model_tells_strides_epsilon_and_image_size(int height, int width, CompressionLevel compression)
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, Config(height, width), compression: compression);

        var weights = WeightsFile.Read(path, new WeightsFileOptions { Warn = _ => { } });

        Assert.Equal("Keras 3.6.0, a whole model", weights.Origin);
        Assert.Equal([WeightsAssumptionKind.Normalization], weights.Assumptions.Select(assumption => assumption.Kind));
        Assert.Equal([1, 1, 2, 3, 1], weights.Architecture.Stages.Select(stage => stage.Depth));
        var deploy = WeightsFile.ReadDeployNetwork(path, new WeightsFileOptions { Normalization = Normalization.Identity(3) });
        Assert.Equal((height, width), (deploy.ImageHeight, deploy.ImageWidth));
        float[] input = GoldenFiles.Floats(Path.Combine("keras", $"plain-{height}x{width}-input.npy")).Values;
        var logits = new float[2 * 7];
        using var engine = new InferenceEngine(deploy);
        engine.Run(input, 2, logits);
        Compare.Close(GoldenFiles.Floats(Path.Combine("keras", $"plain-{height}x{width}-logits.npy")).Values, logits, 1e-5);
    }

    [Fact]
    public void The_engine_opens_a_whole_model_and_channels_first_swaps_the_input_shape()
    {
        using var folder = new TemporaryFolder();
        string path = Write(folder, Config(32, 64, channelsFirst: true));

        using var engine = InferenceEngine.Open(path, new WeightsFileOptions { Normalization = Normalization.Identity(3) });

        Assert.Equal((32, 64), (engine.ImageHeight, engine.ImageWidth));
    }

    [Fact]
    public void Epsilons_that_differ_become_part_of_the_variance()
    {
        using var folder = new TemporaryFolder();
        var config = Config(32, 32);
        var second = Layers(config).Where(layer => (string?)layer["class_name"] == "BatchNormalization").ElementAt(1);
        second["config"]!["epsilon"] = 0.002;

        var weights = WeightsFile.Read(Write(folder, config), new WeightsFileOptions { Warn = _ => { } });
        var plain = WeightsFile.Read(_weights, new WeightsFileOptions { Depths = [1, 1, 2, 3, 1], Warn = _ => { } });

        const string Name = "stage0.rbr_1x1.bn.running_var";
        Compare.Close([.. plain.State[Name].Values.Select(value => value + 0.001f)], weights.State[Name].Values, 1e-6);
        Assert.Equal(plain.State["stage0.rbr_dense.bn.running_var"].Values, weights.State["stage0.rbr_dense.bn.running_var"].Values);
    }

    [Theory]
    [InlineData("padding", "\"valid\"", "the padding 'valid'")]
    [InlineData("dilation_rate", "[2, 2]", "the dilation 2")]
    [InlineData("strides", "[1, 2]", "the same for height and width")]
    [InlineData("strides", "[3, 3]", "the stride 3")]
    [InlineData("groups", "2", "2 groups in the configuration and 1 in its kernel")]
    [InlineData("activation", "\"relu\"", "the activation 'relu'")]
    public void A_convolution_that_a_RepVgg_does_not_have_is_refused(string setting, string value, string reason)
    {
        using var folder = new TemporaryFolder();
        var config = Config(32, 32);
        foreach (var layer in Layers(config).Where(layer => (string?)layer["class_name"] == "Conv2D").Take(2))
            layer["config"]![setting] = JsonNode.Parse(value);

        Assert.Contains(reason, Refused(Write(folder, config)));
    }

    [Theory]
    [InlineData("SeparableConv2D", "", "of the class 'SeparableConv2D', which a RepVGG does not have")]
    [InlineData("Lambda", "", "of the class 'Lambda'")]
    [InlineData("Activation", "swish", "is the activation 'swish'")]
    [InlineData("ZeroPadding2D", "", "pads a map")]
    public void A_layer_that_a_RepVgg_does_not_have_is_refused(string type, string activation, string reason)
    {
        using var folder = new TemporaryFolder();
        var config = Config(32, 32);
        ((JsonArray)config["config"]!["layers"]!).Add(Layer(type, "extra", new JsonObject { ["activation"] = activation }));

        Assert.Contains(reason, Refused(Write(folder, config)));
    }

    [Fact]
    public void Archives_that_are_no_Keras_model_are_refused()
    {
        using var folder = new TemporaryFolder();
        byte[] sound = File.ReadAllBytes(Write(folder, Config(32, 32), compression: CompressionLevel.NoCompression));

        string sharded = folder.File("sharded.keras");
        using (var archive = ZipFile.Open(sharded, ZipArchiveMode.Create))
        {
            Add(archive, "metadata.json", "{}"u8.ToArray(), CompressionLevel.Fastest);
            Add(archive, "model.weights.json", "{}"u8.ToArray(), CompressionLevel.Fastest);
        }
        Assert.Contains("several files (shards)", Refused(sharded));
        Assert.Contains("the configuration of its model is damaged", Refused(Write(folder, null, text: "{\"config\":")));
        for (int length = 100; length < sound.Length; length += sound.Length / 40)
            Refused(folder.Write("cut.keras", sound[..length]));
        for (int seed = 0; seed < 100; seed++)
        {
            byte[] bytes = (byte[])sound.Clone();
            var random = new Random(seed);
            for (int i = 0; i < 20; i++)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            try
            {
                WeightsFile.Read(folder.Write("damaged.keras", bytes), new WeightsFileOptions { Warn = _ => { } });
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void Files_of_other_models_are_refused_with_what_they_have()
    {
        using var folder = new TemporaryFolder();

        Assert.Contains("neither the attribute 'layer_names' nor the group 'layers'", Refused(GoldenFiles.PathOf(Path.Combine("keras", "structures", "types.h5"))));
        Assert.Contains("a 3x3 convolution, the first of a block", Refused(Write(folder, "layers/conv2d/vars/0", [5, 5, 3, 8])));
        Assert.Contains("has the weights 0 [3]", Refused(Write(folder, "layers/normalization/vars/0", [3])).Replace("gamma", "0", StringComparison.Ordinal));
        Assert.Contains("no layer with weights", Refused(Write(folder, "layers/other", [1])));
    }

    [Fact]
    public void A_folder_of_a_SavedModel_is_named()
    {
        using var folder = new TemporaryFolder();
        folder.Write("saved_model.pb", [8, 1, 0x12, 0]);

        string message = Assert.ThrowsAny<IOException>(() => WeightsFile.Read(folder.Path)).Message;
        Assert.Contains("SavedModel", message);
        Assert.Contains("TensorFlow SavedModel", Refused(folder.File("saved_model.pb")));
    }

    private static string Refused(string path) => Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path, new WeightsFileOptions { Warn = _ => { } })).Message;

    private static string Write(TemporaryFolder folder, string dataset, int[] shape)
    {
        var writer = new RepVgg.Weights.Hdf5.Hdf5Writer();
        writer.Add(dataset, TensorData.Zeros(shape));
        string path = folder.File("other.weights.h5");
        using var stream = File.Create(path);
        writer.Write(stream);
        return path;
    }

    private static string Write(TemporaryFolder folder, JsonNode? config, string? text = null, CompressionLevel compression = CompressionLevel.Fastest)
    {
        string path = folder.File($"{Guid.NewGuid()}.keras");
        using var archive = ZipFile.Open(path, ZipArchiveMode.Create);
        Add(archive, "metadata.json", """{"keras_version": "3.6.0", "date_saved": "2026-01-02@03:04:05"}"""u8.ToArray(), compression);
        Add(archive, "config.json", System.Text.Encoding.UTF8.GetBytes(text ?? config!.ToJsonString()), compression);
        Add(archive, "model.weights.h5", File.ReadAllBytes(_weights), compression);
        return path;
    }

    private static void Add(ZipArchive archive, string name, byte[] content, CompressionLevel compression)
    {
        using var entry = archive.CreateEntry(name, compression).Open();
        entry.Write(content);
    }

    private static IEnumerable<JsonNode> Layers(JsonNode config) => ((JsonArray)config["config"]!["layers"]!).OfType<JsonNode>();

    private static JsonObject Layer(string type, string name, JsonObject settings)
    {
        settings["name"] = name;
        return new JsonObject { ["module"] = "keras.layers", ["class_name"] = type, ["config"] = settings, ["registered_name"] = null, ["name"] = name, ["inbound_nodes"] = new JsonArray() };
    }

    /// <summary>The configuration of the golden network: layers in the order of Keras, which is not needed to be that of their creation.</summary>
    private static JsonObject Config(int height, int width, bool channelsFirst = false)
    {
        var layers = new JsonArray();
        JsonNode?[] shape = channelsFirst ? [null, 3, height, width] : [null, height, width, 3];
        layers.Add(Layer("InputLayer", "input_layer", new JsonObject { ["batch_shape"] = new JsonArray(shape), ["dtype"] = "float32" }));
        int convolutions = 40, norms = 50, block = 0, inputs = 3;
        foreach (var (depth, outputs) in ((int, int)[])[(1, 8), (1, 8), (2, 16), (3, 32), (1, 32)])
        {
            for (int i = 0; i < depth; i++, block++, inputs = outputs)
            {
                foreach (int size in (int[])[3, 1])
                {
                    layers.Add(Layer("Conv2D", $"conv2d_{convolutions++}", new JsonObject
                    {
                        ["filters"] = outputs,
                        ["kernel_size"] = new JsonArray(size, size),
                        ["strides"] = i == 0 ? new JsonArray(2, 2) : new JsonArray(1, 1),
                        ["padding"] = "same",
                        ["data_format"] = channelsFirst ? "channels_first" : "channels_last",
                        ["dilation_rate"] = new JsonArray(1, 1),
                        ["groups"] = 1,
                        ["activation"] = "linear",
                        ["use_bias"] = false,
                    }));
                }
                for (int norm = i == 0 ? 2 : 3; norm > 0; norm--)
                    layers.Add(Layer("BatchNormalization", $"batch_normalization_{norms++}", new JsonObject { ["axis"] = -1, ["momentum"] = 0.99, ["epsilon"] = 0.001 }));
                layers.Add(Layer("Add", $"add_{block}", []));
                layers.Add(Layer("Activation", $"activation_{block}", new JsonObject { ["activation"] = "relu" }));
            }
        }
        layers.Add(Layer("GlobalAveragePooling2D", "global_average_pooling2d", []));
        layers.Add(Layer("Dense", "dense_3", new JsonObject { ["units"] = 7, ["activation"] = "linear" }));
        return new JsonObject { ["module"] = "keras", ["class_name"] = "Functional", ["config"] = new JsonObject { ["name"] = "functional", ["layers"] = layers } };
    }
}
