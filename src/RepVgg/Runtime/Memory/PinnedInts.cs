using System.Runtime.CompilerServices;

namespace RepVgg.Runtime.Memory;

/// <summary>A constant table of integers in pinned memory, which kernels read through a pointer.</summary>
internal sealed unsafe class PinnedInts
{
    private readonly int[] _values;

    public PinnedInts(ReadOnlySpan<int> values)
    {
        _values = GC.AllocateUninitializedArray<int>(Math.Max(values.Length, 1), pinned: true);
        values.CopyTo(_values);
        Count = values.Length;
        Pointer = (int*)Unsafe.AsPointer(ref _values[0]);
    }

    /// <summary>Address of the first element; valid as long as this object is referenced.</summary>
    public int* Pointer { get; }

    public int Count { get; }
}
