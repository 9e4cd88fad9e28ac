using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Offsets in floats of the pixels and taps of a convolution, or of the rows of a matrix (one tap).</summary>
/// <param name="Pixels">Maximum number of output pixels; a product may use fewer.</param>
/// <param name="InputOffsets">Input offset of each pixel.</param>
/// <param name="OutputOffsets">Output offset of each pixel.</param>
/// <param name="TapOffsets">Offset of each tap, added to the input offset of the pixel.</param>
internal sealed record PixelLayout(int Pixels, PinnedInts InputOffsets, PinnedInts OutputOffsets, PinnedInts TapOffsets)
{
    /// <summary>Creates the tables.</summary>
    public static PixelLayout Create(IReadOnlyList<int> inputs, IReadOnlyList<int> outputs, IReadOnlyList<int> taps) =>
        new(inputs.Count, new PinnedInts([.. inputs]), new PinnedInts([.. outputs]), new PinnedInts([.. taps]));
}
