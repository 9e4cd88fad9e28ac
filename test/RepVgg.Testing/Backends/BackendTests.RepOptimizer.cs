using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Testing;

/// <content>RepOptimizer against its authors' code.</content>
public abstract partial class BackendTests
{
    public static TheoryData<string, TrainingForm> RepOptTraces => new()
    {
        { "nesterov", TrainingForm.Csla },
        { "nesterov", TrainingForm.Plain },
        { "momentum", TrainingForm.Csla },
        { "momentum", TrainingForm.Plain },
        { "adamw", TrainingForm.Csla },
        { "adamw", TrainingForm.Plain },
    };

    /// <summary>The plain network begins as the sum of the branches, so the logits of both are those of the golden data.</summary>
    [BackendTheory]
    [InlineData(TrainingForm.Csla)]
    [InlineData(TrainingForm.Plain)]
    public void Initial_logits_of_RepOptimizer_are_the_authors(TrainingForm form)
    {
        var (images, labels) = RepOptGolden.Batches().First();
        var initial = RepOptGolden.State(form == TrainingForm.Plain ? "plain-initial" : "csla-initial");
        using var network = new TrainingNetwork(RepOptGolden.Architecture with { TrainingForm = form }, StateLayout.ClassesOf(initial), Backend, seed: 0);
        network.ImportState(initial);
        using var step = Backend.BeginStep(training: false);
        var logits = network.Forward(Backend.CreateInput([labels.Length, 3, RepOptGolden.Size, RepOptGolden.Size], images));
        Compare.Close(GoldenFiles.Floats(Path.Combine("repopt", "initial-logits.npy")).Values, Read(logits), 1e-5);
    }

    /// <summary>Four steps of the ordinary optimizer for the network of branches, and of RepOptimizer for the plain one.</summary>
    [BackendTheory]
    [MemberData(nameof(RepOptTraces))]
    public void Training_with_RepOptimizer_follows_the_authors(string trace, TrainingForm form)
    {
        string name = form == TrainingForm.Plain ? "plain" : "csla";
        var losses = RepOptGolden.Manifest.GetProperty(trace).GetProperty($"losses_{name}");
        using var run = RepOptGolden.Start(Backend, trace, form);
        foreach (var (step, (images, labels)) in RepOptGolden.Batches().Index())
            Compare.Close([losses[step].GetSingle()], [run.Step(images, labels, RepOptGolden.Size)], 1e-5, $"loss of step {step}");
        var actual = run.Weights();
        foreach (var (weight, expected) in RepOptGolden.State($"{trace}-{name}-final"))
            Compare.Close(expected.Values, actual[weight].Values, 1e-5, weight);
        if (form == TrainingForm.Plain)
        {
            var state = run.OptimizerState();
            foreach (var (kernel, expected) in RepOptGolden.State(trace == "adamw" ? "masks-adamw" : "masks-sgd"))
                Compare.Close(expected.Values, state[$"multiplier/{kernel}"].Values, 1e-6, kernel);
        }
    }

    /// <summary>The network of branches and the plain network stay equal; without the multipliers they do not.</summary>
    [BackendTheory]
    [InlineData("nesterov", 5e-6)]
    [InlineData("momentum", 5e-6)]
    [InlineData("adamw", 1e-4)]
    public void RepOptimizer_trains_the_plain_network_as_the_branches(string trace, double tolerance)
    {
        using var branches = RepOptGolden.Start(Backend, trace, TrainingForm.Csla);
        using var plain = RepOptGolden.Start(Backend, trace, TrainingForm.Plain);
        using var forgotten = RepOptGolden.Start(Backend, trace, TrainingForm.Plain, multiplied: false);
        foreach (var (images, labels) in RepOptGolden.Batches())
        {
            foreach (var run in (RepOptRun[])[branches, plain, forgotten])
                run.Step(images, labels, RepOptGolden.Size);
            Assert.InRange(RepOptRun.Difference(RepOptRun.Plain(RepOptGolden.Architecture, branches.Weights()), plain.Weights()), 0, tolerance);
        }
        Assert.InRange(RepOptRun.Difference(plain.Weights(), forgotten.Weights()), 0.05, double.PositiveInfinity);
    }

    /// <summary>A new network of the plain form gets the kernels that are the sums of those of the network of branches with the same seed, once.</summary>
    [BackendTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_fresh_network_starts_as_the_branches_of_the_same_seed(bool useIdentityScales)
    {
        var architecture = RepOptGolden.Architecture with { Groups = 2 };
        var options = new RepOptimizerOptions { Scales = RepOptGolden.Scales, UseIdentityScales = useIdentityScales }.For(architecture);
        using var branches = new TrainingNetwork(architecture with { TrainingForm = TrainingForm.Csla }, 4, Backend, seed: 5, scales: RepOptGolden.Scales);
        using var plain = new TrainingNetwork(architecture, 4, Backend, seed: 5);
        var drawn = plain.ExportState();
        plain.PrepareFor(options);
        var expected = RepOptRun.Plain(architecture, branches.ExportState(), useIdentityScales);
        var actual = plain.ExportState();
        foreach (var (name, tensor) in expected)
        {
            Assert.Equal(tensor.Values, actual[name].Values);
            Assert.Equal(name.EndsWith(".conv.weight", StringComparison.Ordinal), !drawn[name].Values.SequenceEqual(tensor.Values));
        }

        // Neither a network with weights of a file nor one that was prepared before is changed.
        plain.ImportState(drawn);
        plain.PrepareFor(options);
        using var pretrained = new TrainingNetwork(architecture, 4, Backend, seed: 5);
        pretrained.ImportPretrained(drawn);
        pretrained.PrepareFor(options);
        using var trained = new TrainingNetwork(architecture, 4, Backend, seed: 5);
        trained.PrepareFor(new SgdOptions());
        trained.PrepareFor(options);
        foreach (var network in (TrainingNetwork[])[plain, pretrained, trained])
        {
            foreach (var (name, tensor) in network.ExportState())
                Assert.Equal(drawn[name].Values, tensor.Values);
        }
    }
}
