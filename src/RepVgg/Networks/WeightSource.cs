namespace RepVgg.Networks;

/// <summary>Weights that are read when they are asked for.</summary>
internal abstract class WeightSource
{
    /// <summary>Number of values.</summary>
    public abstract int Length { get; }

    /// <summary>Some of the values, for reading once.</summary>
    /// <param name="start">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="room">Where values go that are not in memory; it grows as needed, and the next reading may use it again.</param>
    /// <returns>The values, until <paramref name="room"/> is used again.</returns>
    public abstract ReadOnlySpan<float> Read(int start, int count, scoped ref float[] room);

    /// <summary>All values, for reading once.</summary>
    public ReadOnlySpan<float> Read()
    {
        float[] room = [];
        return Read(0, Length, ref room);
    }

    /// <summary>The values in an array of the caller's own.</summary>
    public virtual float[] Take() => Read().ToArray();

    /// <summary>Room for some values.</summary>
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
