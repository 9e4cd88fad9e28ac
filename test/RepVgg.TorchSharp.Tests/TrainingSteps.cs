using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Weights.Naming;

namespace RepVgg.TorchSharp.Tests;

/// <summary>A golden network that trains on random images, with everything that the training loop uses.</summary>
internal sealed class TrainingSteps : IDisposable
{
    private const int Classes = 6, Batch = 8, Size = 32;

    private readonly Backend _backend;
    private readonly Optimizer _optimizer;
    private readonly WeightAverage _average;
    private readonly MetricAccumulator _totals;
    private readonly Random _random = new(1);

    public TrainingSteps(Backend backend, string name)
    {
        _backend = backend;
        Network = new TrainingNetwork(GoldenNetworks.All[name], Classes, backend, seed: 1);
        _optimizer = backend.CreateOptimizer(Network.ParameterGroups(1e-4f), new SgdOptions(0.9f, Nesterov: true));
        _average = backend.CreateWeightAverage([.. Network.Parameters, .. Network.Buffers]);
        _totals = backend.CreateMetricAccumulator();
    }

    public TrainingNetwork Network { get; }

    /// <returns>The loss, images being blobs whose place is their class.</returns>
    public double Step()
    {
        int[] labels = [.. Enumerable.Range(0, Batch).Select(i => i % Classes)];
        using var staged = _backend.Stage([Batch, 3, Size, Size], Images(labels));
        using (_backend.BeginStep(training: true))
        {
            var (logits, auxiliary) = Network.ForwardWithAuxiliary(_backend.CreateInput(staged));
            var loss = _backend.SoftmaxCrossEntropy(logits, labels, 0.1f);
            _totals.Add(loss, logits, labels);
            foreach (var head in auxiliary)
                loss = _backend.Add(loss, _backend.Scale(_backend.SoftmaxCrossEntropy(head, labels, 0.1f), 0.1f));
            _backend.Backward(loss);
            _optimizer.Step(0.02f);
            _average.Update(0.9f);
        }
        return _totals.ReadAndReset().LossSum / Batch;
    }

    public void Evaluate()
    {
        _average.Swap();
        using (_backend.BeginStep(training: false))
            Network.Forward(_backend.CreateInput([Batch, 3, Size, Size], Images([0, 1, 2, 3, 4, 5, 0, 1])));
        _average.Swap();
    }

    public void Dispose()
    {
        _totals.Dispose();
        _average.Dispose();
        _optimizer.Dispose();
        Network.Dispose();
    }

    private float[] Images(int[] labels)
    {
        var images = new float[Batch * 3 * Size * Size];
        for (int i = 0; i < images.Length; i++)
        {
            int label = labels[i / (3 * Size * Size)], x = i % Size;
            images[i] = (x / 5 == label ? 2f : 0f) + _random.NextSingle() - 0.5f;
        }
        return images;
    }
}
