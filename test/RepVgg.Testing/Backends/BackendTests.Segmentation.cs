using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Testing;

/// <content>The training form of networks for segmentation.</content>
public abstract partial class BackendTests
{
    [BackendTheory]
    [InlineData(57, 49, true, TrainingForm.RepVgg)]
    [InlineData(64, 48, false, TrainingForm.RepVgg)]
    [InlineData(57, 57, true, TrainingForm.MobileOne)]
    public void The_training_form_of_a_PSPNet_computes_what_its_fused_form_does(int height, int width, bool alignCorners, TrainingForm form)
    {
        var architecture = RandomSegmentation.Architecture(4, 12, 1, 2, 3, 6) with { AlignCorners = alignCorners };
        architecture = architecture with { Backbone = architecture.Backbone with { TrainingForm = form } };
        var state = RandomSegmentation.Training(architecture);
        var fused = SegmentationNetwork.FromTrainingForm(architecture, state, height, width, Normalization.Identity(3));
        var images = RandomStates.Images(2, 3, height, width);
        using var network = new TrainingNetwork(architecture, Backend, seed: 0);
        network.ImportState(state);

        using var step = Backend.BeginStep(training: false);
        var logits = network.Forward(Backend.CreateInput([.. images.Shape], images.Values));

        Assert.Equal([2, 4, height, width], logits.Shape);
        Compare.Close(ReferenceSegmentation.Logits(fused, images.Values, 2), Read(logits), 2e-5);
        Assert.All(network.ExportState(), pair => Assert.Equal(state[pair.Key].Values, pair.Value.Values));
    }

    [BackendTheory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(5)]
    public void A_PSPNet_is_trained_except_its_frozen_stages(int frozenStages)
    {
        const int Classes = 3, Size = 41;
        var architecture = RandomSegmentation.Architecture(Classes, 8, 1, 2, 3);
        using var network = new TrainingNetwork(architecture, Backend, seed: 1, frozenStages);
        var before = network.ExportState();
        var (images, masks) = Rectangles(4, Size);
        using var optimizer = Backend.CreateOptimizer(network.ParameterGroups(1e-4f, headLearningRateScale: 10), new SgdOptions(0.9f));
        double first = 0, last = 0;
        for (int i = 0; i < 30; i++)
        {
            using var step = Backend.BeginStep(training: true);
            var (logits, auxiliary) = network.ForwardWithAuxiliary(Backend.CreateInput([4, 3, Size, Size], images), new RandomDrops(Backend, 1, i, 0.1f, 0));
            Assert.Equal(frozenStages <= architecture.AuxiliaryStage ? 1 : 0, auxiliary.Count);
            var loss = Backend.PixelCrossEntropy(logits, masks, 255);
            last = Read(loss)[0];
            first = i == 0 ? last : first;
            foreach (var head in auxiliary)
                loss = Backend.Add(loss, Backend.Scale(Backend.PixelCrossEntropy(head, masks, 255), 0.4f));
            Backend.Backward(loss);
            optimizer.Step(0.01f);
        }
        Assert.True(last < 0.5 * first, $"The loss was {first} in the first step and {last} in the last.");

        string[] frozen = [.. architecture.Backbone.Stages.Take(frozenStages).Select(stage => stage.Name), .. frozenStages > architecture.AuxiliaryStage ? (string[])["aux"] : []];
        foreach (var (name, tensor) in network.ExportState())
        {
            bool stays = frozen.Contains(name[..name.IndexOf('.')]);
            Assert.True(stays == tensor.Values.AsSpan().SequenceEqual(before[name].Values), $"{name} {(stays ? "changed" : "did not change")}.");
        }
        Assert.Equal(
            network.Parameters.Where(parameter => PspNetLayout.IsHead(parameter.Name)).Select(parameter => parameter.Name).Order(),
            network.ParameterGroups(1e-4f, headLearningRateScale: 10).Where(group => group.LearningRateScale == 10).SelectMany(group => group.Parameters).Select(parameter => parameter.Name).Order());
    }

    [BackendFact]
    public void A_PSPNet_starts_from_the_backbone_of_a_classifier_or_from_another_PSPNet()
    {
        var architecture = RandomSegmentation.Architecture(3, 8, 1, 2);
        using var network = new TrainingNetwork(architecture, Backend, seed: 1);
        var fresh = network.ExportState();

        var classifier = RandomStates.Training(architecture.Backbone, 7);
        string[] heads = [.. network.ImportPretrained(classifier)];
        Assert.Equal(fresh.Names.Where(PspNetLayout.IsHead), heads);
        Assert.All(network.ExportState(), pair => Assert.Equal((heads.Contains(pair.Key) ? fresh : classifier)[pair.Key].Values, pair.Value.Values));

        var other = RandomSegmentation.Training(architecture, seed: 5);
        Assert.Empty(network.ImportPretrained(other));
        Assert.All(network.ExportState(), pair => Assert.Equal(other[pair.Key].Values, pair.Value.Values));

        var ofOtherClasses = RandomSegmentation.Training(architecture with { Classes = 9 }, seed: 6);
        Assert.Equal(heads, network.ImportPretrained(ofOtherClasses));
        Assert.Contains("stage4", Assert.Throws<ArgumentException>(() => network.ImportPretrained(RandomStates.Training(architecture.Backbone with { Stages = architecture.Backbone.Stages[..4] }, 7))).Message);
        Assert.Contains("with 3 classes", Assert.Throws<ArgumentException>(() => network.ImportState(ofOtherClasses)).Message);
        using var step = Backend.BeginStep(training: false);
        Assert.Contains("too small", Assert.Throws<ArgumentException>(() => network.Forward(Backend.CreateInput([1, 3, 4, 4], new float[48]))).Message);
    }

    /// <summary>Images of rectangles whose class is their colour, on a background of class 0; a border of 2 pixels is not labelled.</summary>
    private static (float[] Images, byte[] Masks) Rectangles(int count, int size)
    {
        var random = new Random(3);
        var (images, masks) = (new float[count * 3 * size * size], new byte[count * size * size]);
        for (int n = 0; n < count; n++)
        {
            int top = random.Next(2, size / 2), left = random.Next(2, size / 2);
            for (int y = 0; y < size; y++)
            {
                for (int x = 0; x < size; x++)
                {
                    bool isInside = y >= top && y < top + size / 2 && x >= left && x < left + size / 2, isBorder = Math.Min(Math.Min(x, y), size - 1 - Math.Max(x, y)) < 2;
                    masks[(n * size + y) * size + x] = (byte)(isBorder ? 255 : isInside ? 1 + n % 2 : 0);
                    for (int c = 0; c < 3; c++)
                        images[((n * 3 + c) * size + y) * size + x] = (isInside && c == n % 2 ? 1 : 0) + (float)random.NextDouble() * 0.2f;
                }
            }
        }
        return (images, masks);
    }
}
