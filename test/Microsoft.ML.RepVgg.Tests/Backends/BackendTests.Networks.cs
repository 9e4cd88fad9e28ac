using Microsoft.ML.RepVgg.Tests.Support;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Formats.PyTorch;
using RepVgg.Networks;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Backends;

/// <content>Whole networks against the original PyTorch code.</content>
public abstract partial class BackendTests
{
    public static TheoryData<string> GoldenNames => GoldenNetworks.Names;

    [BackendTheory]
    [MemberData(nameof(GoldenNames))]
    public void Logits_in_evaluation_mode_are_the_authors(string name)
    {
        var expected = GoldenFiles.Floats($"{name}-logits-train.npy");
        using var network = new TrainingNetwork(GoldenNetworks.All[name], expected.Shape[1], Backend, seed: 0);
        network.ImportState(GoldenNetworks.TrainingState(name));
        var images = GoldenNetworks.Input(name);
        using var step = Backend.BeginStep(training: false);
        Compare.Close(expected.Values, Read(network.Forward(Backend.CreateInput([.. images.Shape], images.Values))), 1e-5);
    }

    /// <summary>Four steps of SGD, against PyTorch's losses and final weights.</summary>
    [BackendTheory]
    [InlineData("trace-momentum")]
    [InlineData("trace-nesterov")]
    public void Training_follows_the_authors(string name)
    {
        var manifest = GoldenFiles.Manifest.GetProperty(name);
        var initial = PthReader.Read(GoldenFiles.PathOf($"{name}-initial.pth"));
        var final = PthReader.Read(GoldenFiles.PathOf($"{name}-final.pth"));
        var inputs = GoldenFiles.Floats($"{name}-inputs.npy");
        var (shape, targets) = GoldenFiles.Longs($"{name}-targets.npy");
        int steps = shape[0], batch = shape[1], length = inputs.Values.Length / steps;
        float weightDecay = manifest.GetProperty("weight_decay").GetSingle();

        using var network = new TrainingNetwork(GoldenNetworks.All["tiny"], StateLayout.ClassesOf(initial), Backend, seed: 0);
        network.ImportState(initial);
        ParameterGroup[] groups =
        [
            .. network.Parameters.GroupBy(item => WeightDecayRule.Applies(item.Name, item.Tensor.Shape))
                .Select(group => new ParameterGroup([.. group.Select(item => item.Tensor)], group.Key ? weightDecay : 0)),
        ];
        using var optimizer = Backend.CreateSgd(groups, manifest.GetProperty("momentum").GetSingle(), manifest.GetProperty("nesterov").GetBoolean());
        for (int step = 0; step < steps; step++)
        {
            int[] labels = [.. targets.Skip(step * batch).Take(batch).Select(label => (int)label)];
            using (Backend.BeginStep(training: true))
            {
                var images = Backend.CreateInput([batch, .. inputs.Shape.Skip(2)], inputs.Values.AsSpan(step * length, length));
                var loss = Backend.SoftmaxCrossEntropy(network.Forward(images), labels, manifest.GetProperty("label_smoothing").GetSingle());
                Compare.Close([manifest.GetProperty("losses")[step].GetSingle()], Read(loss), 1e-5, $"loss of step {step}");
                Backend.Backward(loss);
            }
            optimizer.Step(manifest.GetProperty("lr").GetSingle());
        }

        foreach (var (weight, tensor) in network.ExportState())
            Compare.Close(final[weight].Values, tensor.Values, 5e-5, weight);
    }
}
