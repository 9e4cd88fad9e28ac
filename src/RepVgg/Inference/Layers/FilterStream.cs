using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Sequence of filter memory that the kernels prefetch to the L2 cache at an even rate, a fixed distance ahead of the
/// filters that they multiply: the rest of the current panel, then the next panel.
/// </summary>
/// <param name="position">Address to prefetch first.</param>
/// <param name="end">End of the current panel.</param>
/// <param name="next">Start of the next panel, where the sequence continues after <paramref name="end"/>.</param>
/// <param name="rate">Floats to prefetch per unit of work.</param>
internal unsafe struct FilterStream(float* position, float* end, float* next, nint rate)
{
    /// <summary>Floats to prefetch per unit of work.</summary>
    public nint Rate => rate;

    /// <summary>Returns the address of the next range to prefetch and advances the position.</summary>
    /// <param name="floats">Length of the range in floats.</param>
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
