using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>
/// The exponential moving average of tensors that are changed by training. The initial averages are the values of the
/// tensors when this object is created by <see cref="Backend.CreateWeightAverage"/>.
/// </summary>
internal abstract class WeightAverage : IDisposable
{
    private readonly NamedState _state;

    private protected WeightAverage(IReadOnlyList<(string Name, Tensor Tensor)> tensors) =>
        _state = new NamedState("weight average", [.. tensors.Select(item => (item.Name, item.Tensor.Shape))]);

    /// <summary>Updates the averages: average = decay * average + (1 - decay) * tensor.</summary>
    /// <param name="decay">Weight of the previous average, 0 to 1.</param>
    public abstract void Update(float decay);

    /// <summary>Exchanges the averages and the values of the tensors; a second call restores both.</summary>
    public abstract void Swap();

    /// <summary>Copies the averages under the names of their tensors; for checkpoints.</summary>
    /// <returns>Copies of the averages.</returns>
    public StateDict ExportState() => _state.Export(ReadAverage);

    /// <summary>Restores a state returned by <see cref="ExportState"/>.</summary>
    /// <param name="state">One tensor per averaged tensor.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have another shape. The message names the first one, and the averages are not changed.</exception>
    public void ImportState(StateDict state) => _state.Import(state, WriteAverage);

    /// <summary>Releases the averages; the tensors are not released.</summary>
    public abstract void Dispose();

    /// <summary>Copies the average of the tensor with a given index to <paramref name="values"/>.</summary>
    private protected abstract void ReadAverage(int tensor, Span<float> values);

    /// <summary>Overwrites the average of the tensor with a given index.</summary>
    private protected abstract void WriteAverage(int tensor, ReadOnlySpan<float> values);
}

/// <summary>A weight average stored in host memory, for backends whose tensors are in host memory.</summary>
internal sealed class HostWeightAverage : WeightAverage
{
    private readonly Backend _backend;
    private readonly Tensor[] _tensors;
    private readonly float[][] _averages;
    private readonly float[] _values;

    public HostWeightAverage(Backend backend, IReadOnlyList<(string Name, Tensor Tensor)> tensors)
        : base(tensors)
    {
        _backend = backend;
        _tensors = [.. tensors.Select(item => item.Tensor)];
        _averages = [.. _tensors.Select(tensor => new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)])];
        _values = new float[_averages.Select(average => average.Length).DefaultIfEmpty().Max()];
        for (int i = 0; i < _averages.Length; i++)
            backend.CopyOut(_tensors[i], _averages[i]);
    }

    public override void Update(float decay)
    {
        for (int i = 0; i < _averages.Length; i++)
        {
            var average = _averages[i].AsSpan();
            var values = _values.AsSpan(0, average.Length);
            _backend.CopyOut(_tensors[i], values);
            for (int j = 0; j < average.Length; j++)
                average[j] = decay * average[j] + (1 - decay) * values[j];
        }
    }

    public override void Swap()
    {
        for (int i = 0; i < _averages.Length; i++)
        {
            var values = _values.AsSpan(0, _averages[i].Length);
            _backend.CopyOut(_tensors[i], values);
            _backend.CopyIn(_tensors[i], _averages[i]);
            values.CopyTo(_averages[i]);
        }
    }

    public override void Dispose()
    {
    }

    private protected override void ReadAverage(int tensor, Span<float> values) => _averages[tensor].CopyTo(values);

    private protected override void WriteAverage(int tensor, ReadOnlySpan<float> values) => values.CopyTo(_averages[tensor]);
}
