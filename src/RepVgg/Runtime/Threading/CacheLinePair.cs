using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Threading;

/// <summary>A number that threads share, with two cache lines of its own, because processors fetch lines in pairs.</summary>
[StructLayout(LayoutKind.Explicit, Size = 128)]
internal struct CacheLinePair
{
    /// <summary>The number.</summary>
    [FieldOffset(0)]
    public long Value;
}
