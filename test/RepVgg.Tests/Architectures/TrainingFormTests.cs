using System.Text;
using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Architectures;

/// <summary>Every training form from its weights to the fused network. What a single block of a form computes is tested in BackendTests.</summary>
public class TrainingFormTests
{
    public static TheoryData<TrainingForm, SqueezeExcitation, int> Forms
    {
        get
        {
            var data = new TheoryData<TrainingForm, SqueezeExcitation, int>();
            foreach (var form in Enum.GetValues<TrainingForm>())
            {
                data.Add(form, SqueezeExcitation.None, 1);
                if (form != TrainingForm.QARepVgg)
                    data.Add(form, SqueezeExcitation.BeforeRelu, 1);
                data.Add(form, form == TrainingForm.QARepVgg ? SqueezeExcitation.None : SqueezeExcitation.AfterRelu, form == TrainingForm.ResidualReorg ? 1 : 4);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void The_fused_network_equals_the_training_form(TrainingForm form, SqueezeExcitation squeezeExcitation, int groups)
    {
        var architecture = Architecture(form, squeezeExcitation, groups);
        var state = RandomStates.Training(architecture, 5);
        if (form is TrainingForm.ReluInBranches or TrainingForm.ResidualReorg)
        {
            Assert.Contains($"training form {form} have no deploy form", Assert.Throws<NotSupportedException>(() => DeployNetwork.FromTrainingForm(architecture, state, 32, 40, Normalization.Identity(3))).Message);
            return;
        }
        var fused = DeployNetwork.FromTrainingForm(architecture, state, 32, 40, Normalization.Identity(3));
        Assert.InRange(FusionCheck.Compare(architecture, state, fused).Largest, 0, 1e-5);
        // A deploy form from a file without a description does not tell its training form.
        Assert.InRange(FusionCheck.Compare(architecture, state, DeployNetwork.FromDeployForm(architecture with { TrainingForm = default }, fused.ExportState(), 32, 40, fused.Normalization)).Largest, 0, 1e-5);
    }

    /// <summary>The form is found from the names in a file without a description, or given where they do not tell it, and kept by the description in others.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void Files_tell_the_form(TrainingForm form, SqueezeExcitation squeezeExcitation, int groups)
    {
        using var folder = new TemporaryFolder();
        var architecture = Architecture(form, squeezeExcitation, groups);
        PthWriter.Write(RandomStates.Training(architecture, 5), folder.File("weights.pth"));
        Assert.Equal(architecture with { Name = "RepVGG" }, WeightsFile.Read(folder.File("weights.pth"), new WeightsFileOptions { TrainingForm = form }).Architecture);
        var options = new WeightsFileOptions { ImageHeight = 32, ImageWidth = 40, TrainingForm = form };
        if (form is TrainingForm.ReluInBranches or TrainingForm.ResidualReorg)
        {
            string message = Assert.Throws<InvalidDataException>(() => WeightsFile.ReadDeployNetwork(folder.File("weights.pth"), options)).Message;
            Assert.Contains("weights.pth", message);
            Assert.Contains($"training form {form} have no deploy form", message);
        }
        else
        {
            Assert.Equal(32, WeightsFile.ReadDeployNetwork(folder.File("weights.pth"), options).ImageHeight);
        }
        if (form == TrainingForm.IdentityWithoutNorm)
            Assert.Contains("Missing (12): stage1.1.rbr_identity.weight", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(folder.File("weights.pth"))).Message);
        else
            Assert.Equal(form switch { TrainingForm.ReluInBranches => TrainingForm.RepVgg, TrainingForm.Csla => TrainingForm.HyperSearch, _ => form }, WeightsFile.Read(folder.File("weights.pth")).Architecture.TrainingForm);

        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
            ArchitectureJson.Write(writer, architecture);
        string json = Encoding.UTF8.GetString(stream.ToArray());
        Assert.Equal(architecture, ArchitectureJson.Read(JsonDocument.Parse(json).RootElement));
        Assert.Equal(form != TrainingForm.RepVgg, json.Contains("training_form", StringComparison.Ordinal));
        string unknown = json.Replace("\"plus_layout\"", "\"training_form\":\"Later\",\"plus_layout\"", StringComparison.Ordinal).Replace($"\"training_form\":\"{form}\",", "", StringComparison.Ordinal);
        Assert.Contains("'Later'", Assert.Throws<FormatException>(() => ArchitectureJson.Read(JsonDocument.Parse(unknown).RootElement)).Message);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Networks_of_every_form_learn(TrainingForm form, SqueezeExcitation squeezeExcitation, int groups)
    {
        var train = SyntheticTask.Samples(64, 1);
        var result = SyntheticTask.Train(
            train, null, SyntheticTask.Options with { Epochs = 3, BatchSize = 16, StochasticDepth = TrainingForms.HasIdentityBranch(form) ? 0.2f : 0, CustomL2 = TrainingForms.HasCustomL2(form) },
            architecture: RandomNetworks.Architecture(1, groups, squeezeExcitation, (16, 1, 2), (16, 2, 1), (32, 1, 2)) with { TrainingForm = form });
        Assert.True(result.History[^1].TrainingLoss < result.History[0].TrainingLoss, string.Join(", ", result.History.Select(epoch => epoch.TrainingLoss)));
    }

    /// <summary>PyTorch divides by 1e-12 instead of 0, so that such a filter is scored as zero, but its gradient is too large to train with.</summary>
    [Fact]
    public void Pretrained_filters_that_are_zero_are_refused_in_Dirac_networks_and_scored_as_zero()
    {
        var architecture = Architecture(TrainingForm.Dirac, SqueezeExcitation.None, 1);
        var state = RandomStates.Training(architecture, 5);
        state["stage1.1.rbr_dense.conv.weight"].Values.AsSpan(7 * 32 * 9, 32 * 9).Clear();
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(architecture, 5, backend, seed: 1);
        string message = Assert.Throws<ArgumentException>(() => network.ImportPretrained(state)).Message;
        Assert.Contains("'stage1.1.rbr_dense.conv.weight': filter 7 is zero", message);

        var fused = DeployNetwork.FromTrainingForm(architecture, state, 32, 40, Normalization.Identity(3));
        Assert.InRange(FusionCheck.Compare(architecture, state, fused).Largest, 0, 1e-5);
    }

    /// <summary>The names of both forms, and the names that differ.</summary>
    [Fact]
    public void Weights_of_another_form_are_refused_with_the_names_of_both()
    {
        using var backend = new CpuBackend(1);
        foreach (var form in TrainingForms.All)
        {
            foreach (var other in TrainingForms.ToldByNames.Where(other => other != form && !(form == TrainingForm.Csla && other == TrainingForm.HyperSearch) && !(form == TrainingForm.ReluInBranches && other == TrainingForm.RepVgg)))
            {
                using var network = new TrainingNetwork(Architecture(form, SqueezeExcitation.None, 1), 5, backend, seed: 1);
                var state = RandomStates.Training(Architecture(other, SqueezeExcitation.None, 1), 5);
                string message = Assert.Throws<ArgumentException>(() => network.ImportState(state)).Message;
                Assert.Contains($"training form {form} of test", message);
                Assert.Contains($"They have the names of the training form {other}.", message);
                Assert.Matches("Missing|Surplus", message);
            }
        }
    }

    /// <summary>Files without a description, read in another form than that of their names.</summary>
    [Fact]
    public void Files_of_another_form_are_refused_with_the_names_of_both()
    {
        using var folder = new TemporaryFolder();
        foreach (var other in TrainingForms.ToldByNames)
        {
            PthWriter.Write(RandomStates.Training(Architecture(other, SqueezeExcitation.None, 1), 5), folder.File("weights.pth"));
            foreach (var form in TrainingForms.All.Where(form => form != other && !(form == TrainingForm.Csla && other == TrainingForm.HyperSearch) && !(form == TrainingForm.ReluInBranches && other == TrainingForm.RepVgg)))
            {
                string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(folder.File("weights.pth"), new WeightsFileOptions { TrainingForm = form })).Message;
                Assert.Contains("weights.pth", message);
                Assert.Contains($"training form {form}", message);
                Assert.True(message.Contains($"They have the names of the training form {other}", StringComparison.Ordinal), message);
                Assert.Matches("Missing|Surplus", message);
            }
        }
    }

    /// <summary>Blocks of one channel, and of as many groups as output channels: only those with as many input channels are depthwise.</summary>
    [Theory]
    [InlineData(1, 1, 1, true)]
    [InlineData(3, 1, 1, false)]
    [InlineData(3, 3, 3, true)]
    [InlineData(2, 4, 2, false)]
    [InlineData(4, 2, 2, false)]
    public void Diverse_branches_of_few_channels_are_fused(int inputs, int outputs, int groups, bool isDepthwise)
    {
        foreach (int stride in (int[])[1, 2])
        {
            var block = new BlockSpec("block", inputs, outputs, stride, groups, SqueezeExcitation.None) { Form = TrainingForm.DiverseBranch };
            Assert.Equal(isDepthwise ? 3 : 4, block.Branches.Length);
            using var backend = new CpuBackend(1);
            var draw = new Random(3);
            using var tensors = new DrawnTensors(backend, draw, block);
            float[] input = [.. Enumerable.Range(0, 2 * inputs * 5 * 4).Select(_ => draw.NextSingle() - 0.5f)];
            var training = new TrainingBlock(block, tensors);
            float[] expected;
            int[] shape;
            using (backend.BeginStep(training: false))
            {
                var output = training.SumBranches(backend, backend.CreateInput([2, inputs, 5, 4], input));
                shape = [.. output.Shape];
                expected = new float[shape.Aggregate(1, (product, dimension) => product * dimension)];
                backend.CopyOut(output, expected);
            }
            Assert.Equal([2, outputs, stride == 1 ? 5 : 3, stride == 1 ? 4 : 2], shape);
            var fused = Fusion.Sum(block, stride, name => tensors.Values[$"block.{name}"], _ => 1e-5);
            double[] actual = ReferenceOperations.Convolution(
                Array.ConvertAll(input, value => (double)value), 2, inputs, 5, 4, Array.ConvertAll(fused.Kernel.ToArray(), value => (double)value), outputs, 3, 3,
                Array.ConvertAll(fused.Bias.ToArray(), value => (double)value), stride, 1, groups);
            Compare.Close([.. actual.Select(value => (float)value)], expected, 1e-5);
        }
    }

    [Fact]
    public void An_identity_without_batch_norm_has_no_weights_and_costs_nothing()
    {
        var plain = Architecture(TrainingForm.RepVgg, SqueezeExcitation.None, 1);
        var form = plain with { TrainingForm = TrainingForm.IdentityWithoutNorm };
        Assert.NotEqual(plain, form);
        var names = StateLayout.Training(form, 5).Select(entry => entry.Name).ToHashSet();
        Assert.DoesNotContain(names, name => name.Contains("rbr_identity", StringComparison.Ordinal));
        Assert.Equal(names, StateLayout.Training(plain, 5).Select(entry => entry.Name).Where(name => !name.Contains("rbr_identity", StringComparison.Ordinal)).ToHashSet());

        // Without the batch norm, each identity saves 2 parameters per channel and 1 multiply-add per value.
        long channels = 0, values = 0;
        ModelStatistics before = ModelStatistics.Of(plain, WeightsForm.Training, 5, 32, 40), after = ModelStatistics.Of(form, WeightsForm.Training, 5, 32, 40);
        foreach (var block in before.Blocks.Where(block => block.Block.HasIdentity))
            (channels, values) = (channels + block.Block.OutputChannels, values + block.Activations);
        Assert.Equal(2 * channels, before.Parameters - after.Parameters);
        Assert.Equal(values, before.MultiplyAdds - after.MultiplyAdds);
    }

    private static RepVggArchitecture Architecture(TrainingForm form, SqueezeExcitation squeezeExcitation, int groups) =>
        RandomNetworks.Architecture(3, groups, squeezeExcitation, (16, 1, 2), (32, 3, 2), (48, 2, 2)) with { TrainingForm = form };

    /// <summary>Random tensors of one block.</summary>
    private sealed class DrawnTensors : ITrainingTensors, IDisposable
    {
        private readonly CpuBackend _backend;
        private readonly Dictionary<string, Tensor> _tensors = [];

        public DrawnTensors(CpuBackend backend, Random draw, BlockSpec block)
        {
            _backend = backend;
            foreach (var entry in StateLayout.Training(block))
            {
                var values = TensorData.Zeros(entry.Shape);
                foreach (ref float value in values.Values.AsSpan())
                    value = draw.NextSingle() + (entry.Kind == StateKind.RunningVariance ? 0.5f : -0.5f);
                Values[entry.Name] = values.Values;
                _tensors[entry.Name] = entry.IsParameter ? backend.CreateParameter(values) : backend.CreateBuffer(values);
            }
        }

        public Dictionary<string, float[]> Values { get; } = [];

        public Tensor Tensor(string name) => _tensors[name];

        public BatchNormState Norm(string name) => new(Tensor($"{name}.weight"), Tensor($"{name}.bias"), Tensor($"{name}.running_mean"), Tensor($"{name}.running_var"));

        public Tensor Constant(TensorData values) => _tensors["constant"] = _backend.CreateBuffer(values);

        public void Dispose()
        {
            foreach (var tensor in _tensors.Values)
                tensor.Dispose();
        }
    }
}
