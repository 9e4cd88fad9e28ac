using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;

namespace RepVgg.Benchmarks;

/// <summary>Training steps of a network on one backend, on one batch of random images.</summary>
internal sealed class TrainingSteps : IDisposable
{
    public const float LearningRate = 0.01f;
    public const float Momentum = 0.9f;
    public const float WeightDecay = 1e-4f;

    private const int Classes = 10;

    private readonly Backend _backend;
    private readonly Optimizer _optimizer;

    public TrainingSteps(TrainingCase test, RepVggArchitecture architecture, Backend backend)
    {
        _backend = backend;
        Threads = test.Threads;
        Shape = [test.Batch, architecture.InputChannels, test.Size, test.Size];
        var random = new Random(1);
        Images = [.. Enumerable.Range(0, Shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => random.NextSingle() * 2 - 1)];
        Labels = [.. Enumerable.Range(0, test.Batch).Select(i => i % Classes)];
        Network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        _optimizer = backend.CreateOptimizer([new ParameterGroup(Network.Parameters, WeightDecay)], new SgdOptions(Momentum));
    }

    public TrainingNetwork Network { get; }

    public int Threads { get; }

    /// <summary>Shape of the batch, [N, C, H, W].</summary>
    public int[] Shape { get; }

    public float[] Images { get; }

    public int[] Labels { get; }

    /// <summary>Trains one step.</summary>
    /// <returns>The loss before it.</returns>
    public float Step()
    {
        float[] value = [0];
        using (_backend.BeginStep(training: true))
        {
            var loss = _backend.SoftmaxCrossEntropy(Network.Forward(_backend.CreateInput(Shape, Images)), Labels, 0);
            _backend.CopyOut(loss, value);
            _backend.Backward(loss);
        }
        _optimizer.Step(LearningRate);
        return value[0];
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        Network.Dispose();
    }
}
