using System.Text;
using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Networks;
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
}
