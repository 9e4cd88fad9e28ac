using System.Buffers;
using System.Numerics;
using Microsoft.ML.Data;
using RepVgg.Training.Data;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads vectors of floats, and checks their length and that all values are finite.</summary>
internal sealed class VectorPixelReader(FeatureInput input, RowLocation location, ValueGetter<VBuffer<float>> getter, int capacity) : PixelReader(input, location)
{
    private VBuffer<float> _vector;
    private float[] _batch = [];

    public override void Read(int index)
    {
        // The array is rented because allocating arrays of this size takes as long as scoring a few images.
        if (_batch.Length == 0)
            _batch = ArrayPool<float>.Shared.Rent(capacity * Input.Length);
        var values = Values();
        if (!CopyFinite(values, _batch.AsSpan(index * Input.Length, Input.Length)))
            throw NotFinite(values);
    }

    public override void Run(INetworkEngine engine, int count, Span<float> outputs) => engine.Run(_batch.AsSpan(0, count * Input.Length), count, outputs);

    public override void AddTo(TrainingImages images, int label, float weight, Action<InvalidRowException> invalid)
    {
        ReadOnlySpan<float> values;
        try
        {
            values = Values();
        }
        catch (InvalidRowException error)
        {
            invalid(error);
            return;
        }
        try
        {
            images.Scaled!.Add(values, label, Location.Position, weight);
        }
        catch (ArgumentException error) when (FirstNonFinite(values) < values.Length)
        {
            invalid(NotFinite(values, error));
        }
    }

    public override void Dispose()
    {
        ArrayPool<float>.Shared.Return(_batch);
        _batch = [];
    }

    private ReadOnlySpan<float> Values()
    {
        getter(ref _vector);
        if (_vector.Length != Input.Length)
            throw Location.Invalid($"{_vector.Length} values instead of {Input.Channels} x {Input.Height} x {Input.Width} = {Input.Length}");
        return AllValues(_vector);
    }

    private InvalidRowException NotFinite(ReadOnlySpan<float> values, Exception? inner = null)
    {
        int bad = FirstNonFinite(values);
        return Location.Invalid(FormattableString.Invariant($"value {bad} is {values[bad]}; pixels must be finite numbers"), inner: inner);
    }

    /// <summary>Returns the index of the first value that is not finite; the number of values if all are finite.</summary>
    private static int FirstNonFinite(ReadOnlySpan<float> values)
    {
        int index = 0;
        while (index < values.Length && float.IsFinite(values[index]))
            index++;
        return index;
    }

    // Copies and checks in one pass, because the pixels of a batch don't fit in the CPU caches. Returns false if a value is not finite.
    private static bool CopyFinite(ReadOnlySpan<float> source, Span<float> target)
    {
        // x - x is 0 if x is finite and NaN otherwise, so the sum of the differences is 0 only if all values are finite.
        var sums = Vector<float>.Zero;
        int whole = source.Length - source.Length % Vector<float>.Count;
        for (int i = 0; i < whole; i += Vector<float>.Count)
        {
            var some = new Vector<float>(source[i..]);
            some.CopyTo(target[i..]);
            sums += some - some;
        }
        float sum = Vector.Sum(sums);
        for (int i = whole; i < source.Length; i++)
        {
            target[i] = source[i];
            sum += source[i] - source[i];
        }
        return sum == 0;
    }
}
