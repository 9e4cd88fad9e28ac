using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Memory that kernels bring to the second-level cache while they work, at an even rate: the filters that they read, some
/// way ahead.
/// </summary>
/// <param name="position">What is brought first.</param>
/// <param name="end">Where the current filters end.</param>
/// <param name="next">Where it goes on then.</param>
/// <param name="rate">Floats for a unit of work.</param>
internal unsafe struct FilterStream(float* position, float* end, float* next, nint rate)
{
    /// <summary>Floats for a unit of work.</summary>
    public nint Rate => rate;

    /// <summary>The memory to bring now.</summary>
    /// <param name="floats">How many floats.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Take(nint floats)
    {
        float* start = position;
        position += floats;
        if (position >= end)
        {
            position = next + (position - end);
            end = (float*)nint.MaxValue;
        }
        return start;
    }
}
