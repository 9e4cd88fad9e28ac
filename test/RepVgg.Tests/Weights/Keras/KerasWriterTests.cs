using PureHDF;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Hdf5;
using RepVgg.Weights.Keras;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Weights.Keras;

/// <summary>What is written is read by PureHDF, an independent reader, and by this library; scripts of test/pytorch read it with h5py.</summary>
public sealed class KerasWriterTests
{
    private static string GoldenFile => GoldenFiles.PathOf(Path.Combine("keras", "plain.weights.h5"));

    private static readonly int[] _depths = [1, 1, 2, 3, 1];

    [Fact]
    public void Weights_of_Keras_are_written_as_they_were()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("plain.weights.h5");
        var weights = Read(GoldenFile, 32);

        KerasWriter.Write(weights.Architecture, weights.State, path, 32, 32);

        var expected = Datasets(GoldenFile);
        var actual = Datasets(path);
        Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
        foreach (var (name, (shape, values)) in expected)
        {
            Assert.Equal(shape, actual[name].Shape);
            Assert.Equal(values, actual[name].Values);
        }
    }

    [Theory]
    [InlineData("tiny", WeightsForm.Training)]
    [InlineData("tiny", WeightsForm.Deploy)]
    [InlineData("tiny-g2", WeightsForm.Training)]
    [InlineData("tiny-se", WeightsForm.Training)]
    [InlineData("tiny-se", WeightsForm.Deploy)]
    public void A_network_of_PyTorch_computes_the_same_after_it_was_written_for_images_of_odd_size(string name, WeightsForm form)
    {
        const int Side = 65;
        using var folder = new TemporaryFolder();
        string path = folder.File("network.weights.h5");
        var architecture = GoldenNetworks.All[name];
        var training = GoldenNetworks.TrainingState(name);
        var expected = DeployNetwork.FromTrainingForm(architecture, training, Side, Side, Normalization.Identity(3));

        KerasWriter.Write(architecture, form == WeightsForm.Training ? training : Fusion.Fuse(architecture, training), path, Side, Side);
        var read = Read(path, Side, [.. architecture.Stages.Select(stage => stage.Depth)]);

        Assert.False(KerasWriter.NeedsRotation(architecture, Side, Side));
        Assert.Equal(form, read.Form);
        var actual = read.ToDeployNetwork();
        float[] images = RandomImages(2 * 3 * Side * Side);
        Compare.Close(Run(expected, images), Run(actual, images), 1e-5, name);
    }

    [Theory]
    [InlineData(64, 64)]
    [InlineData(64, 65)]
    [InlineData(48, 80)]
    public void Rotated_kernels_compute_the_same_of_rotated_images_of_even_size(int height, int width)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("network.weights.h5");
        var architecture = GoldenNetworks.All["tiny-se"];
        var deploy = DeployNetwork.FromTrainingForm(architecture, GoldenNetworks.TrainingState("tiny-se"), height, width, Normalization.Identity(3));

        KerasWriter.Write(architecture, deploy.ExportState(), path, height, width, rotate: true);
        var options = new WeightsFileOptions { ImageHeight = height, ImageWidth = width, Normalization = Normalization.Identity(3) };
        Assert.Contains("the option Depths", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path, options)).Message);
        var read = WeightsFile.Read(path, options with { Depths = [.. architecture.Stages.Select(stage => stage.Depth)] }).ToDeployNetwork();

        Assert.True(KerasWriter.NeedsRotation(architecture, height, width));
        Assert.Contains(read.Blocks, block => block.Shape.PaddingTop == 0);
        float[] images = RandomImages(3 * height * width), rotated = [.. images.Chunk(height * width).SelectMany(plane => plane.Reverse())];
        Compare.Close(Run(deploy, images), Run(read, rotated), 1e-5);
    }

    [Fact]
    public void What_Keras_cannot_compute_is_refused()
    {
        var architecture = GoldenNetworks.All["tiny"];
        var training = GoldenNetworks.TrainingState("tiny");
        var deploy = Fusion.Fuse(architecture, training);

        Assert.Contains("odd size", Refused(architecture, training, 64, false));
        Assert.Contains("odd size", Refused(architecture, deploy, 64, false));
        Assert.Contains("Only the deploy form can be rotated", Refused(architecture, training, 64, true));
        Assert.Contains("squeeze-and-excitation after the ReLU", Refused(GoldenNetworks.All["tinyplus-pse"], GoldenNetworks.DeployState("tinyplus-pse"), 65, false));
        Assert.Contains("dilated", Refused(architecture with { OutputStride = 8 }, deploy, 65, false));
        Assert.Contains("QARepVgg", Refused(architecture with { TrainingForm = TrainingForm.QARepVgg }, training, 65, false));
        var keras = Read(GoldenFile, 32);
        Assert.Contains("must not be rotated", Refused(keras.Architecture, Fusion.Fuse(keras.Architecture, keras.State), 32, true));

        static string Refused(RepVggArchitecture architecture, StateDict state, int side, bool rotate)
        {
            using var folder = new TemporaryFolder();
            string path = folder.File("network.weights.h5");
            string message = Assert.Throws<ArgumentException>(() => KerasWriter.Write(architecture, state, path, side, side, rotate)).Message;
            Assert.False(File.Exists(path));
            return message;
        }
    }

    /// <summary>Numbers of members around the capacities of symbol tables and of one and two levels of B-trees.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(9000)]
    public void Groups_of_any_size_are_read_by_both_readers(int members)
    {
        var writer = new Hdf5Writer();
        for (int i = 0; i < members; i++)
            writer.Add($"group/part_{i}", new TensorData([2], [i, -i]));
        using var stream = new MemoryStream();
        writer.Write(stream);
        stream.Position = 0;

        var own = Hdf5File.Open(RepVgg.Runtime.Files.ByteSource.Of(stream)).Root.Group("group");
        Assert.Equal(members, own.Names.Count());
        stream.Position = 0;
        using var other = H5File.Open(stream, leaveOpen: true);
        Assert.Equal(members, other.Group("group").Children().Count());
        for (int i = 0; i < members; i += Math.Max(1, members / 20))
        {
            Assert.Equal([i, -i], own.Dataset($"part_{i}").Read());
            Assert.Equal([i, -i], other.Dataset($"group/part_{i}").Read<float[]>());
        }
    }

    [Fact]
    public void What_PureHDF_writes_is_read()
    {
        float[] values = [1, 2, 3, 4, 5, 6];
        var file = new H5File { ["layers"] = new H5Group { ["dense"] = new H5Group { ["vars"] = new H5Group { ["0"] = new H5Dataset(values, fileDims: [2, 3]) } } } };
        using var stream = new MemoryStream();
        file.Write(stream);
        stream.Position = 0;

        var dataset = Hdf5File.Open(RepVgg.Runtime.Files.ByteSource.Of(stream)).Root.Dataset("layers/dense/vars/0");
        Assert.Equal([2, 3], dataset.Shape);
        Assert.Equal(values, dataset.Read());
    }

    private static LoadedWeights Read(string path, int side, int[]? depths = null) =>
        WeightsFile.Read(path, new WeightsFileOptions { ImageHeight = side, Normalization = Normalization.Identity(3), Depths = depths ?? _depths });

    private static Dictionary<string, (ulong[] Shape, float[] Values)> Datasets(string path)
    {
        using var file = H5File.OpenRead(path);
        var found = new Dictionary<string, (ulong[], float[])>();
        Collect(file, "");
        return found;

        void Collect(IH5Group group, string prefix)
        {
            foreach (var child in group.Children())
            {
                if (child is IH5Group inner)
                    Collect(inner, $"{prefix}/{child.Name}");
                else if (child is IH5Dataset dataset)
                    found.Add($"{prefix}/{child.Name}", (dataset.Space.Dimensions, dataset.Read<float[]>()));
            }
        }
    }

    private static float[] RandomImages(int count)
    {
        var random = new Random(3);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 2 - 1))];
    }

    private static float[] Run(DeployNetwork network, float[] images)
    {
        using var engine = new InferenceEngine(network);
        int count = images.Length / engine.InputLength;
        var logits = new float[count * engine.OutputLength];
        engine.Run(images, count, logits);
        return logits;
    }
}
