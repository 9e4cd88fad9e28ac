using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Memory;

/// <summary>Requests transparent huge pages on Linux, which reduce TLB misses when large buffers are read sequentially.</summary>
internal static unsafe partial class HugePages
{
    private const int MadviseHugePage = 14;

    /// <summary>Advises Linux to use huge pages for a range. Has no effect on other systems or if Linux ignores the advice.</summary>
    /// <param name="start">Start of the range; it must be aligned to a page.</param>
    /// <param name="bytes">Length of the range in bytes.</param>
    public static void Advise(void* start, nuint bytes)
    {
        if (!OperatingSystem.IsLinux())
            return;
        try
        {
            // The result is ignored: the memory is usable with or without huge pages.
            _ = Madvise(start, bytes, MadviseHugePage);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* start, nuint bytes, int advice);
}
