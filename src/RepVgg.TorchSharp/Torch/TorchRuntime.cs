using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Checks, before TorchSharp is used, whether TorchSharp, its native libraries and a device are available. Each failed check throws <see cref="DeviceUnavailableException"/>.</summary>
/// <remarks>TorchSharp itself reports missing libraries by a load trace on the console or a <see cref="TypeInitializationException"/>, so no TorchSharp code runs before the checks.</remarks>
internal static partial class TorchRuntime
{
    private static readonly Version _requiredVersion = typeof(TorchRuntime).Assembly.GetReferencedAssemblies().First(name => name.Name == "TorchSharp").Version!;

    // ConsoleOutputSuppressor replaces Console.Out. The lock ensures that it is restored before another thread replaces it.
    private static readonly Lock _initialization = new();

    private static volatile bool _isAvailable;

    /// <summary>Whether TorchSharp's native code may have been called, so that its libraries cannot be chosen any more.</summary>
    public static bool IsInUse { get; private set; }

    /// <summary>The version of TorchSharp that is loaded.</summary>
    public static string Version { get; private set; } = _requiredVersion.ToString(3);

    /// <summary>Gets the text that names the package to reference for a device, or another source of libtorch.</summary>
    private static string PackageAdvice(int? cudaDevice)
    {
        string version = _requiredVersion.ToString(3);
        string? cuda = cudaDevice is null ? null : OperatingSystem.IsWindows() ? "TorchSharp-cuda-windows" : OperatingSystem.IsLinux() ? "TorchSharp-cuda-linux" : null;
        return cuda is null
            ? $"Reference the package TorchSharp-cpu {version} in the application"
            : $"Reference the package {cuda} {version} in the application (TorchSharp-cpu to train on the CPU with libtorch), or name a PyTorch that is installed by {LibTorch.EnvironmentVariable}";
    }

    /// <summary>Checks that a device can be used.</summary>
    /// <param name="cudaDevice">Index of the CUDA device; null for the CPU.</param>
    /// <exception cref="DeviceUnavailableException">The device cannot be used; the message contains the reason.</exception>
    public static void EnsureAvailable(int? cudaDevice)
    {
        CheckVersion(FindAssembly(), cudaDevice);
        LibTorch.UseEnvironmentVariable();
        IsInUse = true;
        string? library = null;
        try
        {
            if (!FindNativeLibraries(out library))
                throw new DeviceUnavailableException(MissingMessage(library, cudaDevice));
            // If TorchSharp cannot load the library, it copies libtorch into the application's folder. Loading the library here first prevents that.
            if (library is not null && OperatingSystem.IsLinux() && cudaDevice is null)
                NativeLibrary.Load(library);
            lock (_initialization)
            {
                using var suppressor = new ConsoleOutputSuppressor();
                if (cudaDevice is { } index)
                    CheckCuda(index);
                else
                    Initialize();
            }
        }
        catch (Exception exception) when (exception is NotSupportedException or TypeInitializationException or DllNotFoundException or EntryPointNotFoundException or BadImageFormatException or TypeLoadException or MissingMemberException)
        {
            throw new DeviceUnavailableException(LoadErrorMessage(library, exception, cudaDevice), exception);
        }
    }

    /// <summary>Checks that TorchSharp can be used on the CPU, before a module of this library calls its native code.</summary>
    /// <param name="name">The name of the module.</param>
    /// <returns><paramref name="name"/>.</returns>
    /// <exception cref="DeviceUnavailableException">TorchSharp cannot be used; the message contains the reason.</exception>
    public static string Checked(string name)
    {
        if (!_isAvailable)
        {
            EnsureAvailable(cudaDevice: null);
            _isAvailable = true;
        }
        return name;
    }

    /// <summary>Checks that the application's version of TorchSharp is the one that this library was built for.</summary>
    internal static void CheckVersion(Version? found, int? cudaDevice)
    {
        if (found is null)
            throw new DeviceUnavailableException($"TorchSharp is not installed; training with libtorch needs version {_requiredVersion.ToString(2)}. {PackageAdvice(cudaDevice)}.");
        if (found.Major != _requiredVersion.Major || found.Minor != _requiredVersion.Minor)
            throw new DeviceUnavailableException($"TorchSharp {found.ToString(3)} is installed, but version {_requiredVersion.ToString(2)} is needed: other versions have other native libraries. {PackageAdvice(cudaDevice)}.");
        Version = found.ToString(3);
    }

    private static Version? FindAssembly()
    {
        try
        {
            return Assembly.Load("TorchSharp").GetName().Version;
        }
        catch (Exception exception) when (exception is FileNotFoundException or FileLoadException or BadImageFormatException)
        {
            return null;
        }
    }

    /// <summary>Searches the native libraries in the folders that .NET searches. In notebooks, TorchSharp itself collects the libraries from the package folders, so the result is true there.</summary>
    /// <remarks>LibTorchSharp is part of the package TorchSharp, and torch_cpu is part of a libtorch package.</remarks>
    /// <param name="library">Receives the path of TorchSharp's own native library, or null if none of those folders contains it.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool FindNativeLibraries(out string? library)
    {
        string home = Path.GetDirectoryName(typeof(torch).Assembly.Location) ?? "";
        library = FindNativeLibrary("LibTorchSharp");
        bool inPackageFolder = Path.GetFileName(Path.GetDirectoryName(home)) == "lib";
        return inPackageFolder
            || (library is not null && (LibTorch.Folder is not null || FindNativeLibrary("torch_cpu") is not null))
            || NativeLibrary.TryLoad("LibTorchSharp", typeof(torch).Assembly, null, out _);
    }

    /// <summary>Searches a native library in the folders of the application that .NET searches.</summary>
    /// <returns>Its path, or null if none of the folders contains it.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static string? FindNativeLibrary(string name)
    {
        string home = Path.GetDirectoryName(typeof(torch).Assembly.Location) ?? "";
        string searched = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        string[] folders = [.. searched.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), AppContext.BaseDirectory, home];
        return folders.Select(folder => Path.Combine(folder, LibTorch.FileName(name))).FirstOrDefault(File.Exists);
    }

    /// <summary>Gets the message for a library that cannot be loaded, with the reason that the system's loader reports. TorchSharp's own message always mentions a missing package, even if the reason is another one.</summary>
    /// <param name="library">Path of TorchSharp's native library; null if it was not found.</param>
    /// <param name="exception">The exception that the loader or TorchSharp threw.</param>
    /// <param name="cudaDevice">Index of the requested CUDA device; null for the CPU.</param>
    private static string LoadErrorMessage(string? library, Exception exception, int? cudaDevice)
    {
        string reason = FirstLine(exception);
        if (LoadError(library) is { } loading)
        {
            if (ExplainSystem(loading) is { } explanation)
                return explanation;
            reason = LastLine(loading);
        }
        return $"TorchSharp {Version} is installed, but its native libraries (libtorch) cannot be loaded: {reason.TrimEnd('.')}. {PackageAdvice(cudaDevice)}, and no other TorchSharp package beside it.";
    }

    /// <summary>Gets the message for native libraries that were not found. libtorch may be in a folder that only the system's loader searches, so the reason may still be the system.</summary>
    private static string MissingMessage(string? library, int? cudaDevice) =>
        (LoadError(library) is { } loading ? ExplainSystem(loading) : null)
            ?? $"TorchSharp {Version} is installed, but its native libraries (libtorch) are not. {PackageAdvice(cudaDevice)}.";

    /// <summary>Loads a library and returns the loader's message if that fails; null if it is loaded, or if there is none.</summary>
    private static string? LoadError(string? library)
    {
        if (library is null)
            return null;
        try
        {
            NativeLibrary.Load(library);
            return null;
        }
        catch (Exception loading) when (loading is DllNotFoundException or BadImageFormatException)
        {
            return loading.Message;
        }
    }

    /// <summary>Explains a message of the system's loader whose reason is the system and not a missing package.</summary>
    /// <param name="loaderMessage">The message, in the language of the system.</param>
    /// <returns>The message to show; null if the reason is another one.</returns>
    internal static string? ExplainSystem(string loaderMessage)
    {
        const string Systems = "Ubuntu 24.04, Debian 13, Fedora 38, RHEL 10 and later versions have it. TrainingDevice.Cpu trains without libtorch.";
        // glibc: version `GLIBCXX_3.4.32' not found (required by ...). The words and quotes depend on the language.
        if (NeededVersion().Match(loaderMessage) is { Success: true } match)
        {
            string library = match.Value.StartsWith("GLIBC_", StringComparison.Ordinal) ? $"a later C library (glibc, {match.Value})" : $"the C++ library of GCC 13 or later ({match.Value})";
            return $"TorchSharp {Version} cannot be loaded on this system: its libraries need {library}, and the system's is older. {Systems}";
        }
        // No C++ library at all, as in small containers; on Alpine (musl), the loader names the file or the missing symbols.
        if (loaderMessage.Contains("libstdc++.so", StringComparison.Ordinal) || loaderMessage.Contains("ld-linux", StringComparison.Ordinal))
            return $"TorchSharp {Version} cannot be loaded on this system: its libraries need the C library glibc and the C++ library of GCC 13 or later, and the system lacks one of them ({LastLine(loaderMessage).TrimEnd('.')}). {Systems}";
        return null;
    }

    internal static string LastLine(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];

    /// <summary>Matches, in the loader's message, the version of a symbol that the system's C or C++ library does not have.</summary>
    [GeneratedRegex("(GLIBCXX|CXXABI|GLIBC)_[0-9.]*[0-9]")]
    private static partial Regex NeededVersion();

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Initialize() => torch.InitializeDeviceType(DeviceType.CPU);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CheckCuda(int index)
    {
        if (!torch.cuda.is_available())
            throw new DeviceUnavailableException($"TorchSharp {Version} finds no CUDA device: there is no NVIDIA GPU, its driver is older than CUDA 12.8 needs, or the native libraries are those of TorchSharp-cpu. {PackageAdvice(index)}.");
        int count = torch.cuda.device_count();
        if (index >= count)
            throw new DeviceUnavailableException($"There is no CUDA device {index}: this machine has {count}, counted from 0.");
    }

    private static string FirstLine(Exception exception) => (exception.InnerException ?? exception).Message.Split('\n')[0].Trim();
}
