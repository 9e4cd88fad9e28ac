namespace RepVgg.Weights;

/// <summary>A source of the values of one weight tensor, which are read on demand.</summary>
internal abstract class WeightSource
{
    /// <summary>Number of values.</summary>
    public abstract int Length { get; }

    /// <summary>Returns a range of the values.</summary>
    /// <param name="start">Index of the first value.</param>
    /// <param name="count">Number of values.</param>
    /// <param name="room">Buffer for values that are not in memory. It is replaced by a larger array if needed, and the next read may reuse it.</param>
    /// <returns>The values, valid until <paramref name="room"/> is used again.</returns>
    public abstract ReadOnlySpan<float> Read(int start, int count, scoped ref float[] room);

    /// <summary>Returns all values.</summary>
    public ReadOnlySpan<float> Read()
    {
        float[] room = [];
        return Read(0, Length, ref room);
    }

    /// <summary>Returns all values in an array that the caller owns.</summary>
    public virtual float[] Take() => Read().ToArray();

    /// <summary>Returns the first <paramref name="count"/> floats of the buffer, after replacing it by a larger array if needed.</summary>
    protected static Span<float> Grow(scoped ref float[] room, int count)
    {
        if (room.Length < count)
            room = new float[count];
        return new Span<float>(room, 0, count);
    }
}

/// <summary>Weights in memory.</summary>
internal sealed class HeldWeights(float[] values) : WeightSource
{
    public override int Length => values.Length;

    public override ReadOnlySpan<float> Read(int start, int count, scoped ref float[] room) => new(values, start, count);
}
