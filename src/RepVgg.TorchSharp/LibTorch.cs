using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace RepVgg.TorchSharp;

/// <summary>
/// Makes TorchSharp use the native libraries of a PyTorch that is installed for Python, or of a download of libtorch, in place of the packages TorchSharp-cpu,
/// TorchSharp-cuda-linux and TorchSharp-cuda-windows, which take up to several gigabytes. The application references the package TorchSharp only.
/// </summary>
/// <remarks>
/// TorchSharp 0.107 was built for libtorch 2.10. Libraries of another version that lack a function that TorchSharp needs are refused on Linux; on other systems the
/// version is not checked. A process uses one libtorch: the choice is made before the first use of TorchSharp and cannot be changed.
/// </remarks>
public static partial class LibTorch
{
    /// <summary>Name of the environment variable that has the path for <see cref="Use"/>, for applications that do not call it: <c>REPVGG_LIBTORCH</c>.</summary>
    public const string EnvironmentVariable = "REPVGG_LIBTORCH";

    /// <summary>The version of libtorch that TorchSharp 0.107 was built for.</summary>
    private const string BuiltFor = "2.10";

    private static readonly TimeSpan _longestStart = TimeSpan.FromMinutes(1);

    private static readonly Lock _access = new();

    /// <summary>The folder whose libraries are in use; null if TorchSharp uses those of the application.</summary>
    public static string? Folder { get; private set; }

    /// <summary>Loads the native libraries of libtorch, which TorchSharp then uses.</summary>
    /// <param name="path">
    /// The folder of the libraries, such as <c>site-packages/torch/lib</c>; a folder with <c>lib</c> or <c>torch/lib</c> in it; or the program of a Python whose PyTorch to use,
    /// such as <c>/usr/bin/python3</c>, which is started and asked for the folder. If they are in use already, the method does nothing.
    /// </param>
    /// <exception cref="DeviceUnavailableException">There are no such libraries at the path, they cannot be loaded, or they do not fit this version of TorchSharp.</exception>
    /// <exception cref="InvalidOperationException">Libraries from another folder are in use, or the application has libraries of its own.</exception>
    public static void Use(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        lock (_access)
            Load(FindFolder(path));
    }

    /// <summary>Loads the libraries that the environment variable names, if it is set and no libraries were chosen.</summary>
    internal static void UseEnvironmentVariable()
    {
        lock (_access)
        {
            if (Folder is null && Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } path)
                Load(FindFolder(path));
        }
    }

    /// <summary>Gets the file name of a native library on this system.</summary>
    internal static string FileName(string library) =>
        OperatingSystem.IsWindows() ? $"{library}.dll" : OperatingSystem.IsMacOS() ? $"lib{library}.dylib" : $"lib{library}.so";

    private static string FindFolder(string path)
    {
        if (File.Exists(path))
            path = AskPython(path);
        string[] candidates = [path, Path.Combine(path, "lib"), Path.Combine(path, "torch", "lib")];
        return candidates.FirstOrDefault(folder => File.Exists(Path.Combine(folder, FileName("torch_cpu")))) is { } found
            ? Path.GetFullPath(found)
            : throw new DeviceUnavailableException(
                $"There is no libtorch in '{path}': neither it nor its folders lib and torch/lib have a file {FileName("torch_cpu")}. Give the folder torch/lib of a PyTorch from PyPI or pytorch.org, or the program of the Python that has it.");
    }

    /// <summary>Asks a Python where its PyTorch is. PyTorch itself is not loaded.</summary>
    private static string AskPython(string python)
    {
        const string Script = "import importlib.util, sys; torch = importlib.util.find_spec('torch'); print(torch.submodule_search_locations[0]) if torch else sys.exit('it has no module torch')";
        string output, errors;
        try
        {
            var start = new ProcessStartInfo(python, ["-c", Script]) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var process = Process.Start(start)!;
            var reading = process.StandardError.ReadToEndAsync();
            var writing = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(_longestStart))
            {
                process.Kill();
                throw new DeviceUnavailableException($"'{python}' did not say within a minute where its PyTorch is.");
            }
            (output, errors) = (writing.Result.Trim(), reading.Result.Trim());
        }
        catch (ExternalException error)
        {
            throw new DeviceUnavailableException($"'{python}' is not a folder of libtorch, and cannot be started as a Python: {error.Message.TrimEnd('.')}.", error);
        }
        return output.Length > 0 ? output : throw new DeviceUnavailableException($"'{python}' does not say where its PyTorch is: {errors.Split('\n')[^1].TrimEnd('.')}.");
    }

    private static void Load(string folder)
    {
        if (Folder == folder)
            return;
        if (Folder is not null || TorchRuntime.IsInUse)
            throw new InvalidOperationException($"The libraries in '{folder}' cannot be used any more: this process uses {(Folder is null ? "those of the application" : $"those in '{Folder}'")}. Choose them before TorchSharp is used for the first time.");
        if (TorchRuntime.FindNativeLibrary("torch_cpu") is { } own)
            throw new InvalidOperationException($"The application has a libtorch of its own, '{own}', so that the libraries in '{folder}' cannot be used. Remove the reference to the package TorchSharp-cpu or TorchSharp-cuda-*, and reference TorchSharp.");
        try
        {
            // TorchSharp's library names these, and the system's loader then takes those that are loaded. Those for CUDA are in builds for CUDA only.
            foreach (string library in (string[])["c10", "torch_cpu", "c10_cuda", "torch_cuda", "torch"])
            {
                string file = Path.Combine(folder, FileName(library));
                if (File.Exists(file) || library is "c10" or "torch")
                    NativeLibrary.Load(file);
            }
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
        {
            throw new DeviceUnavailableException(TorchRuntime.ExplainSystem(error.Message) ?? $"{Describe(folder)} cannot be loaded: {TorchRuntime.LastLine(error.Message).TrimEnd('.')}.", error);
        }
        if (TorchRuntime.FindNativeLibrary("LibTorchSharp") is { } torchSharp && OperatingSystem.IsLinux() && MissingFunction(torchSharp) is { } missing)
        {
            throw new DeviceUnavailableException(
                TorchRuntime.ExplainSystem(missing) ?? $"{Describe(folder)} do not fit TorchSharp {TorchRuntime.Version}, which was built for libtorch {BuiltFor}: {missing.TrimEnd('.')}.");
        }
        Folder = folder;
    }

    private static string Describe(string folder)
    {
        string file = Path.Combine(Path.GetDirectoryName(folder) ?? folder, "version.py");
        string version = File.Exists(file) && VersionLine().Match(File.ReadAllText(file)) is { Success: true } match ? $" (PyTorch {match.Groups[1].Value})" : "";
        return $"The libraries in '{folder}'{version}";
    }

    /// <summary>Loads a library with all of its functions bound, because a function that is missing would otherwise end the process when it is called.</summary>
    /// <returns>The loader's message if a function is missing; null if there is none, or on systems whose loader has another interface.</returns>
    private static string? MissingFunction(string library)
    {
        const int BindNow = 2;
        try
        {
            // .NET binds each function by the loader at its first call, which resets the loader's last error.
            _ = LastError();
            return Open(library, BindNow) == 0 ? Marshal.PtrToStringUTF8(LastError()) ?? "it cannot be loaded" : null;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    [LibraryImport("libdl.so.2", EntryPoint = "dlopen", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Open(string library, int flags);

    [LibraryImport("libdl.so.2", EntryPoint = "dlerror")]
    private static partial nint LastError();

    [GeneratedRegex("""^__version__\s*=\s*['"]([^'"]+)""", RegexOptions.Multiline)]
    private static partial Regex VersionLine();
}
