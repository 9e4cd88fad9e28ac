using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Runtime;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Whole runs of quantization-aware training.</summary>
public class QuantizationAwareTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(80, 2);

    private static readonly TrainingOptions _options = SyntheticTask.Options with { Epochs = 4, FrozenStatisticsEpochs = 2, EmaDecay = 0.5f };

    // Three levels of either sign, so that a network that was not trained with them is wrong.
    private static readonly QuantizedLayers _coarse = new([], true, 3);

    private static TrainingResult Train(TrainingOptions options, StateDict? pretrained, QuantizedLayers? quantized, int threads = 2, ulong seed = 3, Action<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, seed, quantized: quantized);
        if (pretrained is not null)
            network.ImportPretrained(pretrained);
        return TrainingLoop.Run(backend, network, _train, _validation, SyntheticTask.Normalization, options, progress, cancellation);
    }

    [Fact]
    public void A_few_epochs_give_back_what_coarse_rounding_takes()
    {
        var trained = Train(SyntheticTask.Options, null, null);
        double before = trained.History[trained.BestEpoch - 1].ValidationAccuracy!.Value;
        // Rounds without training: the learning rate is too small to change anything.
        var ternary = new QuantizedLayers([], true, 1);
        var rounded = Train(_options with { Epochs = 1, FrozenStatisticsEpochs = 0, LearningRate = 1e-9f }, trained.Weights, ternary);
        var aware = Train(_options with { LearningRate = 0.02f }, trained.Weights, ternary);
        double after = aware.History[aware.BestEpoch - 1].ValidationAccuracy!.Value, lost = rounded.History[0].ValidationAccuracy!.Value;
        Assert.True(before > 0.85 && lost < before - 0.2 && after > lost + 0.15, $"{before} {lost} {after}");
    }

    /// <summary>The accuracy that training reports is that of the network of integers.</summary>
    [Fact]
    public void The_result_is_the_network_that_was_validated()
    {
        var trained = Train(SyntheticTask.Options, null, null);
        var options = new QuantizationOptions { QuantizeClassifier = true };
        var aware = Train(_options with { LearningRate = 0.01f }, trained.Weights, options.Layers);
        Assert.Contains(aware.Weights.Names, ActivationRanges.IsRange);
        var fused = DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, aware.Weights, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Normalization);
        var quantized = Quantization.FromTraining(fused, aware.Weights, options);
        Assert.Equal(Quantization.TrainedCalibrator, quantized.Details!.Calibrator);
        using var engine = new InferenceEngine(quantized);
        float[] pixels = new float[SyntheticTask.Size * SyntheticTask.Size], logits = new float[SyntheticTask.Classes];
        int correct = 0;
        for (int i = 0; i < _validation.Count; i++)
        {
            int label = _validation.Read(i, pixels);
            engine.Run(pixels, 1, logits);
            correct += Logits.IndexOfMax(logits) == label ? 1 : 0;
        }
        // Bytes that were rounded otherwise can change the class of an image between two classes.
        Assert.InRange(correct - aware.History[aware.BestEpoch - 1].ValidationAccuracy!.Value * _validation.Count, -1, 1);
    }

    [Fact]
    public void Statistics_and_ranges_stay_in_the_last_epochs()
    {
        StateDict first = Train(_options with { Epochs = 2, FrozenStatisticsEpochs = 0, EmaDecay = 0 }, null, _coarse).Weights;
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3, quantized: _coarse);
        network.ImportState(first);
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, _options with { Epochs = 2, FrozenStatisticsEpochs = 2, EmaDecay = 0 });
        foreach (var (name, tensor) in result.Weights)
        {
            bool isFixed = name.Contains("running_", StringComparison.Ordinal) || ActivationRanges.IsRange(name);
            Assert.Equal(isFixed, tensor.Values.AsSpan().SequenceEqual(first[name].Values));
        }
        // A run in which they are measured again.
        result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, _options with { Epochs = 2, FrozenStatisticsEpochs = 1, EmaDecay = 0 });
        Assert.DoesNotContain(result.Weights, pair => pair.Value.Values.AsSpan().SequenceEqual(first[pair.Key].Values));
    }

    [Fact]
    public void A_cut_run_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        var whole = Train(_options, null, _coarse);
        var options = _options with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        Train(options, null, _coarse, cancellation: source.Token, progress: progress =>
        {
            if (progress is { Epoch: 3, Step: 2 })
                source.Cancel();
        });
        var error = Assert.Throws<InvalidOperationException>(() => Train(options, null, new QuantizedLayers([], false, 3)));
        Assert.Contains("Quantized", error.Message, StringComparison.Ordinal);
        var resumed = Train(options, null, _coarse, threads: 1, seed: 99);
        Assert.Equal(2, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        // The weights of the file are those of a network in floating point, too.
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        network.ImportState(resumed.Weights);
        Assert.DoesNotContain(network.ExportState().Names, ActivationRanges.IsRange);
    }

    [Fact]
    public void Another_run_is_told_by_its_float_blocks_whatever_their_order()
    {
        var architecture = SyntheticTask.Architecture with { Stages = [new("stage0", 4, 1, 2), new("stage1", 4, 12, 1), new("stage2", 4, 1, 2)] };
        string[] blocks = [.. architecture.Blocks.Skip(1).Take(11).Select(block => block.Name)];
        string[] without = [.. blocks[..5], .. blocks[6..]];
        Assert.NotNull(RunFingerprint.Difference(Of(without), Of([.. blocks[..6], .. blocks[7..]])));
        Assert.Null(RunFingerprint.Difference(Of(without), Of([.. without.Reverse()])));

        System.Text.Json.Nodes.JsonObject Of(string[] floatBlocks)
        {
            using var backend = new CpuBackend(1);
            using var network = new TrainingNetwork(architecture, SyntheticTask.Classes, backend, 3, quantized: new QuantizedLayers([.. floatBlocks], false, 127));
            return RunFingerprint.Of(network, RunFingerprint.Describe(_train, null, CancellationToken.None)!, SyntheticTask.Normalization, _options)!;
        }
    }

    [Fact]
    public void Auxiliary_heads_are_trained_with_the_rounding()
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find("RepVGGplus-L2pse"));
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(architecture, 3, backend, 3, quantized: new QuantizedLayers([], true, 127));
        var images = RandomStates.Images(4, 3, 64, 64);
        using (backend.BeginStep(training: true))
        {
            var (logits, auxiliary) = network.ForwardWithAuxiliary(backend.CreateInput([.. images.Shape], images.Values));
            Assert.NotEmpty(auxiliary);
            backend.Backward(auxiliary.Aggregate(Loss(logits), (sum, head) => backend.Add(sum, Loss(head))));
            // The only channel between the layers of a narrow squeeze-and-excitation can be 0.
            foreach (var (name, tensor) in network.Parameters.Where(parameter => !parameter.Name.Contains("_se.", StringComparison.Ordinal)))
            {
                float[] gradient = new float[tensor.Shape.Aggregate(1, (product, size) => product * size)];
                backend.CopyGradient(tensor, gradient);
                Assert.True(gradient.Any(value => value != 0) && gradient.All(float.IsFinite), name);
            }
        }
        Assert.All(network.Buffers.Where(buffer => ActivationRanges.IsRange(buffer.Name)), buffer =>
        {
            float[] bounds = new float[2];
            backend.CopyOut(buffer.Tensor, bounds);
            Assert.True(bounds[1] > 0, buffer.Name);
        });

        RepVgg.Backends.Tensor Loss(RepVgg.Backends.Tensor logits) => backend.SoftmaxCrossEntropy(logits, [0, 1, 2, 0], 0);
    }

    /// <summary>Frozen stages keep their weights, but the ranges of their activations are measured; the average of epochs has averaged ranges.</summary>
    [Fact]
    public void Frozen_stages_and_averages_are_combined_with_the_rounding()
    {
        var architecture = SyntheticTask.Architecture;
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(architecture, SyntheticTask.Classes, backend, 3, frozenStages: 2, quantized: new QuantizedLayers([], true, 127));
        var before = network.ExportState();
        var options = _options with { EmaDecay = 0, AveragedCheckpoints = 2, MonitoredMetric = TrainingMetric.Loss, Dropout = 0.1f, FrozenStatisticsEpochs = 0 };
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options);
        Assert.Equal(2, result.Average!.Epochs.Count);
        foreach (var (name, tensor) in result.Weights)
        {
            bool isKept = !ActivationRanges.IsRange(name) && (name.StartsWith("stage0.", StringComparison.Ordinal) || name.StartsWith("stage1.", StringComparison.Ordinal));
            Assert.Equal(isKept, tensor.Values.AsSpan().SequenceEqual(before[name].Values));
        }
        var fused = DeployNetwork.FromTrainingForm(architecture, result.Weights, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Normalization);
        Assert.True(Quantization.FromTraining(fused, result.Weights, new QuantizationOptions { QuantizeClassifier = true }).Blocks.All(block => block.Output!.Value.Scale > 0));
    }

    [Fact]
    public void Ranges_that_no_step_measured_and_dropped_convolutions_are_refused()
    {
        Assert.Contains("measure the ranges", Assert.Throws<ArgumentException>(() => Train(_options with { Epochs = 1, FrozenStatisticsEpochs = 1 }, null, _coarse)).Message, StringComparison.Ordinal);
        Assert.Contains("StochasticDepth", Assert.Throws<ArgumentException>(() => Train(_options with { StochasticDepth = 0.1f }, null, _coarse)).Message, StringComparison.Ordinal);
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3, quantized: _coarse);
        var state = network.ExportState();
        var fused = DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, state, 12, 12, SyntheticTask.Normalization);
        Assert.Contains("no training step", Assert.Throws<ArgumentException>(() => Quantization.FromTraining(fused, state, new QuantizationOptions())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(TrainingForm.DiverseBranch)]
    [InlineData(TrainingForm.ReluInBranches)]
    [InlineData(TrainingForm.ResidualReorg)]
    public void Forms_without_an_equivalent_kernel_of_each_step_are_refused(TrainingForm form)
    {
        using var backend = new CpuBackend(1);
        var error = Assert.Throws<ArgumentException>(() => new TrainingNetwork(SyntheticTask.Architecture with { TrainingForm = form }, 4, backend, 3, quantized: _coarse));
        Assert.Contains(form.ToString(), error.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(TrainingForm.QARepVgg), error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_blocks_and_weights_without_ranges_are_refused()
    {
        using var backend = new CpuBackend(1);
        Assert.Contains("'stage9'", Assert.Throws<ArgumentException>(() => new TrainingNetwork(SyntheticTask.Architecture, 4, backend, 3, quantized: new QuantizedLayers(["stage9"], false, 127))).Message, StringComparison.Ordinal);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, 4, backend, 3);
        var state = network.ExportState();
        using var quantized = new TrainingNetwork(SyntheticTask.Architecture, 4, backend, 3, quantized: _coarse);
        Assert.Contains("stage0.output_range", Assert.Throws<ArgumentException>(() => quantized.ImportState(state)).Message, StringComparison.Ordinal);
        var fused = DeployNetwork.FromTrainingForm(SyntheticTask.Architecture, state, 12, 12, SyntheticTask.Normalization);
        Assert.Contains("'input_range'", Assert.Throws<ArgumentException>(() => Quantization.FromTraining(fused, state, new QuantizationOptions())).Message, StringComparison.Ordinal);
    }
}
