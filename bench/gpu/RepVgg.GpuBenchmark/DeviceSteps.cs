using System.Diagnostics;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;

namespace RepVgg.GpuBenchmark;

/// <summary>Training steps as the trainer makes them: each batch is copied to the device while it computes, and the loss is read only once in several steps.</summary>
internal sealed class DeviceSteps : IDisposable
{
    public const int Classes = 1000;

    private readonly Backend _backend;
    private readonly Optimizer _optimizer;
    private readonly MetricAccumulator _totals;
    private readonly int[] _shape;
    private readonly float[] _images;
    private readonly int[] _labels;
    private int _steps;

    public DeviceSteps(Backend backend, RepVggArchitecture architecture, int size, int batch)
    {
        _backend = backend;
        Network = new TrainingNetwork(architecture, Classes, backend, seed: 1);
        _optimizer = backend.CreateOptimizer([new ParameterGroup(Network.Parameters, 1e-4f)], new SgdOptions(0.9f, Nesterov: true));
        _totals = backend.CreateMetricAccumulator();
        _shape = [batch, architecture.InputChannels, size, size];
        var random = new Random(1);
        _images = [.. Enumerable.Range(0, _shape.Aggregate(1, (product, dimension) => product * dimension)).Select(_ => random.NextSingle() * 2 - 1)];
        _labels = [.. Enumerable.Range(0, batch).Select(i => i % 10)];
    }

    public TrainingNetwork Network { get; }

    /// <summary>Images per second, over a time after some steps that are not counted.</summary>
    public double Measure(double seconds)
    {
        long warmUp = Stopwatch.GetTimestamp();
        do
            Step();
        while (Stopwatch.GetElapsedTime(warmUp).TotalSeconds < seconds / 4);
        _totals.ReadAndReset();
        long start = Stopwatch.GetTimestamp();
        int steps = 0;
        while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds)
        {
            Step();
            steps++;
        }
        // Reading the loss waits for the device.
        _totals.ReadAndReset();
        return steps * _labels.Length / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Trains one step.</summary>
    public void Step()
    {
        using (var staged = _backend.Stage(_shape, _images))
        using (_backend.BeginStep(training: true))
        {
            var logits = Network.Forward(_backend.CreateInput(staged));
            var loss = _backend.SoftmaxCrossEntropy(logits, _labels, 0);
            _totals.Add(loss, logits, _labels);
            _backend.Backward(loss);
        }
        _optimizer.Step(0.01f);
        if (++_steps % _backend.StepsBetweenReads == 0)
            _totals.ReadAndReset();
    }

    /// <summary>Losses of the first steps.</summary>
    public float[] Losses(int steps)
    {
        var losses = new float[steps];
        for (int step = 0; step < steps; step++)
        {
            using (_backend.BeginStep(training: true))
            {
                var loss = _backend.SoftmaxCrossEntropy(Network.Forward(_backend.CreateInput(_shape, _images)), _labels, 0);
                _backend.CopyOut(loss, losses.AsSpan(step, 1));
                _backend.Backward(loss);
            }
            _optimizer.Step(0.003f);
        }
        return losses;
    }

    public void Dispose()
    {
        _totals.Dispose();
        _optimizer.Dispose();
        Network.Dispose();
    }
}
