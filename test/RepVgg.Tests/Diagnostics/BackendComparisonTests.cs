using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Diagnostics;

public class BackendComparisonTests
{
    public static TheoryData<TrainingForm, int> Forms
    {
        get
        {
            var data = new TheoryData<TrainingForm, int>();
            foreach (var form in TrainingForms.All)
            {
                data.Add(form, 1);
                if (form != TrainingForm.ResidualReorg)
                    data.Add(form, 2);
            }
            return data;
        }
    }

    /// <summary>The reduced network has a block of every shape of the network, also of those with two layers, and no more than 5 layers in a stage.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void The_reduced_network_has_every_kind_of_block(TrainingForm form, int groups)
    {
        for (int depth = 1; depth <= 9; depth++)
        {
            var network = RandomNetworks.Architecture(3, groups, SqueezeExcitation.None, (4, 1, 2), (4, depth, 1), (8, depth, 2)) with { TrainingForm = form };
            var reduced = BackendComparison.Reduce(network);
            Assert.Equal(Shapes(network), Shapes(reduced));
            Assert.All(reduced.Stages, stage => Assert.InRange(stage.Depth, 1, 5));
        }

        static IEnumerable<object> Shapes(RepVggArchitecture network) => network.Blocks
            .Select(block => (block.InputChannels, block.OutputChannels, block.Stride, block.Groups, block.Layers)).Distinct().Order().Cast<object>();
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void A_backend_equals_itself_on_other_threads(TrainingForm form, int groups)
    {
        using var candidate = new CpuBackend(2);
        using var reference = new CpuBackend(1);
        var network = RandomNetworks.Architecture(3, groups, SqueezeExcitation.None, (4, 1, 2), (8, 3, 2), (8, 4, 1)) with { TrainingForm = form };
        Assert.InRange(BackendComparison.Compare(candidate, reference, network, 3).Difference, 0, 1e-4);
    }
}
