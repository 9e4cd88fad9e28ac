using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Files;

/// <summary>Errors of writing that .NET does not report, or not as an <see cref="IOException"/>.</summary>
internal static partial class WriteErrors
{
    private const int ReadOnly = 30, Invalid = 22, NotSupported = 95;

    /// <summary>Writes a stream to the disk.</summary>
    /// <remarks>On Linux, <see cref="FileStream.Flush(bool)"/> of .NET 10 returns without an exception if the system call fails.</remarks>
    /// <exception cref="IOException">The disk reported an error.</exception>
    public static void ToDisk(FileStream stream)
    {
        if (!OperatingSystem.IsLinux())
        {
            stream.Flush(flushToDisk: true);
            return;
        }
        stream.Flush();
        // Some file systems have nothing to flush, and say so by these errors.
        if (FSync(stream.SafeFileHandle) != 0 && Marshal.GetLastPInvokeError() is var error and not (ReadOnly or Invalid or NotSupported))
            throw new IOException($"{Marshal.GetPInvokeErrorMessage(error)}.");
    }

    /// <summary>Whether an exception says that a file would become larger than the file system or a limit of the process allows, which .NET reports as an invalid argument.</summary>
    public static bool IsTooLarge(Exception error) => error is ArgumentOutOfRangeException { Source: "System.Private.CoreLib", ParamName: "value" };

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(SafeHandle file);
}
