using System.Runtime.InteropServices;

namespace RepVgg.Memory;

/// <summary>Asks Linux for large pages, which save address translations where megabytes stream by.</summary>
internal static unsafe partial class HugePages
{
    private const int MadviseHugePage = 14;

    /// <summary>Advises the system; where it can't or won't, nothing changes.</summary>
    public static void Advise(void* start, nuint bytes)
    {
        if (!OperatingSystem.IsLinux())
            return;
        try
        {
            // The result says only whether the advice was understood.
            _ = Madvise(start, bytes, MadviseHugePage);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* start, nuint bytes, int advice);
}
