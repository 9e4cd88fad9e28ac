using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Files;

/// <summary>Tells files from pipes, sockets and devices without opening them, since opening a pipe waits for its writer.</summary>
internal static unsafe partial class FileType
{
    private const int CurrentDirectory = -100, StatusBytes = 256, ModeOffset = 28;
    private const uint WantsType = 1;
    private const int TypeMask = 0xf000, Folder = 0x4000, Regular = 0x8000;

    /// <summary>Whether a path, or what it links to, is a pipe, a socket or a device. False for files that do not exist, and on other systems than Linux.</summary>
    public static bool IsStreamOrDevice(string path)
    {
        // Pipes, sockets and devices have no length. This comes first because the first call of a native function takes a millisecond.
        if (!OperatingSystem.IsLinux() || new FileInfo(path) is not ({ LinkTarget: not null } or { Exists: true, Length: 0 }))
            return false;
        try
        {
            byte* status = stackalloc byte[StatusBytes];
            if (Statx(CurrentDirectory, path, 0, WantsType, status) != 0)
                return false;
            int type = *(ushort*)(status + ModeOffset) & TypeMask;
            return type is not (Folder or Regular);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    // Linux defines the layout of the status for all processors: the mode is 16 bits at offset 28.
    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int folder, string path, int flags, uint mask, byte* status);
}
