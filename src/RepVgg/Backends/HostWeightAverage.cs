using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>A weight average stored in host memory, for backends whose tensors are in host memory.</summary>
internal sealed class HostWeightAverage : WeightAverage
{
    private readonly Backend _backend;
    private readonly IReadOnlyList<Tensor> _tensors;
    private readonly TensorData[] _averages;
    private readonly float[] _values;

    public HostWeightAverage(Backend backend, IReadOnlyList<Tensor> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        (_backend, _tensors) = (backend, [.. tensors]);
        _averages = [.. tensors.Select(tensor => TensorData.Zeros([.. tensor.Shape]))];
        _values = new float[_averages.Select(average => average.Values.Length).DefaultIfEmpty().Max()];
        for (int i = 0; i < _averages.Length; i++)
            backend.CopyOut(tensors[i], _averages[i].Values);
    }

    public override void Update(float decay)
    {
        for (int i = 0; i < _averages.Length; i++)
        {
            var average = _averages[i].Values.AsSpan();
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
            var average = _averages[i].Values;
            var values = _values.AsSpan(0, average.Length);
            _backend.CopyOut(_tensors[i], values);
            _backend.CopyIn(_tensors[i], average);
            values.CopyTo(average);
        }
    }

    public override IReadOnlyList<TensorData> ExportState() =>
        [.. _averages.Select(average => new TensorData([.. average.Shape], [.. average.Values]))];

    public override void ImportState(IReadOnlyList<TensorData> state)
    {
        CheckState(state, _tensors);
        for (int i = 0; i < _averages.Length; i++)
            state[i].Values.CopyTo(_averages[i].Values, 0);
    }

    public override void Dispose()
    {
    }
}
