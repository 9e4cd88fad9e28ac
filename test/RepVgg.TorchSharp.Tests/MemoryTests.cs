using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp.Tests;

/// <summary>What is alive in libtorch.</summary>
[Collection(nameof(MemoryTests))]
public class MemoryTests
{
    [TorchSharpTheory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void The_number_of_live_tensors_is_flat_over_50_steps(bool channelsLast, bool bfloat16)
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, ChannelsLast = channelsLast, Bfloat16 = bfloat16 });
        Settle();
        long atStart = Tensor.TotalCount;
        using (var training = new TrainingSteps(backend, "tinyplus-pse"))
        {
            training.Step();
            training.Step();
            long live = Tensor.TotalCount;
            Assert.True(live > training.Network.Parameters.Count);
            for (int i = 0; i < 50; i++)
            {
                training.Step();
                Assert.Equal(live, Tensor.TotalCount);
            }
            training.Evaluate();
            Assert.Equal(live, Tensor.TotalCount);
        }
        Assert.Equal(atStart, Tensor.TotalCount);
    }

    [TorchSharpFact]
    public void Creating_backends_leaves_nothing_behind()
    {
        Settle();
        TorchBackends.Create(new TorchBackendOptions { Threads = 1 }).Dispose();
        long live = Tensor.TotalCount;
        TorchBackends.Create(new TorchBackendOptions { Threads = 1 }).Dispose();
        Assert.Equal(live, Tensor.TotalCount);
    }

    public static TheoryData<TrainingForm> Forms => [.. TrainingForms.All];

    [TorchSharpTheory]
    [MemberData(nameof(Forms))]
    public void Modules_leave_nothing_behind(TrainingForm form)
    {
        Settle();
        using var backbone = new RepVggBackbone(GoldenNetworks.All[form == TrainingForm.QARepVgg ? "tiny" : "tinyplus-pse"] with { TrainingForm = form });
        using var images = global::TorchSharp.torch.randn(2, 3, 32, 32);
        backbone.call(images).Dispose();
        long live = Tensor.TotalCount;
        for (int i = 0; i < 5; i++)
            backbone.call(images).Dispose();
        Assert.Equal(live, Tensor.TotalCount);

        Tensor[] training = [.. backbone.state_dict().Values];
        if (TrainingForms.FusionObstacleOf(form) is null)
        {
            backbone.SwitchToDeploy();
            Tensor[] fused = [.. backbone.state_dict().Values];
            Assert.All(fused, tensor => Assert.False(tensor.IsInvalid));
            Assert.All(training.Except(fused), tensor => Assert.True(tensor.IsInvalid));
            training = [.. training.Union(fused)];
        }
        backbone.Dispose();
        Assert.All(training, tensor => Assert.True(tensor.IsInvalid));
    }

    [TorchSharpFact]
    public void A_users_dispose_scope_does_not_take_the_network_away()
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false });
        TrainingSteps training;
        using (global::TorchSharp.torch.NewDisposeScope())
            training = new TrainingSteps(backend, "tiny");
        using (training)
            training.Step();
    }

    /// <summary>Lets go of what other tests left to the garbage collector.</summary>
    private static void Settle()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }
}

[CollectionDefinition(nameof(MemoryTests), DisableParallelization = true)]
public class MemoryTestsRunAlone;
