using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Where pixels and taps lie: one side of a convolution, or a plain matrix (one tap).</summary>
/// <param name="Pixels">How many output pixels there are at most; fewer may be asked for.</param>
/// <param name="InputOffsets">Per pixel.</param>
/// <param name="OutputOffsets">Per pixel.</param>
/// <param name="TapOffsets">Per tap, added to the pixel's input offset.</param>
internal sealed record PixelLayout(int Pixels, PinnedInts InputOffsets, PinnedInts OutputOffsets, PinnedInts TapOffsets)
{
    /// <summary>Builds the tables.</summary>
    public static PixelLayout Create(IReadOnlyList<int> inputs, IReadOnlyList<int> outputs, IReadOnlyList<int> taps) =>
        new(inputs.Count, new PinnedInts([.. inputs]), new PinnedInts([.. outputs]), new PinnedInts([.. taps]));
}
