using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Files;

/// <summary>Errors of writing that .NET does not report, or not as an <see cref="IOException"/>.</summary>
internal static partial class WriteErrors
{
    private const int Interrupted = 4, ReadOnly = 30, Invalid = 22, NotSupported = 95;

    /// <summary>Writes a stream to the disk.</summary>
    /// <remarks>
    /// <see cref="FileStream.Flush(bool)"/> of .NET 10 returns without an exception if the system call fails. On Linux, the system call is
    /// therefore made here; on macOS, such an error is not noticed.
    /// </remarks>
    /// <exception cref="IOException">The disk reported an error.</exception>
    public static void ToDisk(FileStream stream)
    {
        if (!OperatingSystem.IsLinux())
        {
            stream.Flush(flushToDisk: true);
            return;
        }
        stream.Flush();
        while (FSync(stream.SafeFileHandle) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            // Some file systems have nothing to flush, and say so by these errors.
            if (error is ReadOnly or Invalid or NotSupported)
                return;
            if (error != Interrupted)
                throw new IOException($"{Marshal.GetPInvokeErrorMessage(error)}.");
        }
    }

    /// <summary>
    /// Whether an exception of a write to a file says that the file would become larger than the file system or a limit of the process allows, which .NET reports
    /// as an invalid argument. Ask only about an exception of the call that writes.
    /// </summary>
    public static bool IsTooLarge(Exception error) => error is ArgumentOutOfRangeException { ParamName: "value", ActualValue: null };

    /// <summary>The exception for such a file.</summary>
    public static IOException TooLarge(Exception error) => new("The file would become larger than the file system or a limit of the process allows.", error);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(SafeHandle file);
}
