namespace RepVgg.Networks;

/// <summary>Weights that are read when they are asked for.</summary>
internal abstract class WeightSource
{
    /// <summary>Number of values.</summary>
    public abstract int Length { get; }

    /// <summary>The values for reading once; they are not kept in memory for another time.</summary>
    public abstract ReadOnlySpan<float> Read();

    /// <summary>The values in an array of the caller's own.</summary>
    public virtual float[] Take() => Read().ToArray();

    /// <summary>Says that the values are not needed again soon.</summary>
    public virtual void Forget()
    {
    }
}

/// <summary>Weights in memory.</summary>
internal sealed class HeldWeights(float[] values) : WeightSource
{
    public override int Length => values.Length;

    public override ReadOnlySpan<float> Read() => values;
}

/// <summary>Weights that were computed in double precision.</summary>
internal sealed class ComputedWeights(double[] values) : WeightSource
{
    public override int Length => values.Length;

    public override ReadOnlySpan<float> Read() => Take();

    public override float[] Take()
    {
        var rounded = new float[values.Length];
        for (int i = 0; i < rounded.Length; i++)
            rounded[i] = (float)values[i];
        return rounded;
    }
}
