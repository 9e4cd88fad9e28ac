using System.Text;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Programs that reference the package TorchSharp only, and use the libtorch of a Python. The folders of Python are made of the libtorch that these tests have.</summary>
public sealed class LibTorchTests : IDisposable
{
    private readonly TemporaryFolder _program = RuntimeTests.CopyOfThisProgram();
    private readonly TemporaryFolder _python = new();

    public LibTorchTests()
    {
        // What the package TorchSharp has: its own library, and on older systems the one that build/torchsharp-older-linux.sh adds.
        foreach (string file in Natives.Where(IsTorchSharps))
            File.Copy(file, _program.File(Path.GetFileName(file)));
        Directory.CreateDirectory(Libraries);
        foreach (string file in Natives.Where(file => !IsTorchSharps(file)))
            File.CreateSymbolicLink(Path.Combine(Libraries, Path.GetFileName(file)), file);
        File.WriteAllText(_python.File(Path.Combine("site-packages", "torch", "version.py")), "__version__ = '2.10.0+cpu'\n");
    }

    public void Dispose()
    {
        _program.Dispose();
        _python.Dispose();
    }

    private static string[] Natives => Directory.GetFiles(Path.GetDirectoryName(RuntimeTests.LibraryPath)!);

    private string Libraries => _python.File(Path.Combine("site-packages", "torch", "lib"));

    private static bool IsTorchSharps(string file) => Path.GetFileName(file) == RuntimeTests.LibraryName || Path.GetFileName(file).Contains("ios_base", StringComparison.Ordinal);

    [TorchSharpOnGlibcFact]
    public async Task A_folder_of_libraries_or_of_packages_or_a_python_is_used()
    {
        string python = _python.File("python");
        await File.WriteAllTextAsync(python, $"#!/bin/sh\necho '{Path.GetDirectoryName(Libraries)}'\n");
        MakeExecutable(python);
        foreach (string path in new[] { Libraries, Path.GetDirectoryName(Libraries)!, _python.File("site-packages"), python })
        {
            var (exitCode, output, errors) = await Program.Child.RunInAsync(_program.Path, "use-libtorch", path);
            Assert.Equal((0, Libraries, ""), (exitCode, output, errors));
        }
    }

    [TorchSharpOnGlibcFact]
    public async Task The_environment_variable_is_used_without_a_call()
    {
        var (exitCode, _, errors) = await Program.Child.RunInAsync(_program.Path, new Dictionary<string, string?> { [LibTorch.EnvironmentVariable] = Libraries }, "create-backbone");
        Assert.Equal((0, ""), (exitCode, errors));
    }

    [TorchSharpOnGlibcFact]
    public async Task Libraries_that_lack_a_function_are_refused_with_their_version()
    {
        File.WriteAllText(_python.File(Path.Combine("site-packages", "torch", "version.py")), "__version__ = '2.3.1'\n");
        // libtorch_global_deps.so has no functions. With the name of another library it is the one that the system's loader expects: it compares the names in the files.
        byte[] empty = File.ReadAllBytes(Path.Combine(Libraries, "libtorch_global_deps.so"));
        int name = empty.AsSpan().IndexOf("libtorch_global_deps.so\0"u8);
        foreach (string library in new[] { "libtorch_cpu.so", "libtorch.so", "libc10.so" })
        {
            byte[] content = [.. empty];
            Encoding.ASCII.GetBytes($"{library}\0", content.AsSpan(name));
            File.Delete(Path.Combine(Libraries, library));
            File.WriteAllBytes(Path.Combine(Libraries, library), content);
        }
        string errors = await Fail("use-libtorch", Libraries);
        Assert.Contains($"DeviceUnavailableException: The libraries in '{Libraries}' (PyTorch 2.3.1) do not fit TorchSharp 0.107.0, which was built for libtorch 2.10: {_program.File(RuntimeTests.LibraryName)}: undefined symbol: ", errors, StringComparison.Ordinal);
    }

    [TorchSharpOnGlibcFact]
    public async Task What_cannot_be_used_is_named()
    {
        Assert.Contains($"There is no libtorch in '{_program.Path}': neither it nor its folders lib and torch/lib have a file libtorch_cpu.so.", await Fail("use-libtorch", _program.Path), StringComparison.Ordinal);

        string python = _python.File("python");
        await File.WriteAllTextAsync(python, "#!/bin/sh\necho 'it has no module torch' >&2\nexit 1\n");
        Assert.Contains($"'{python}' is not a folder of libtorch, and cannot be started as a Python", await Fail("use-libtorch", python), StringComparison.Ordinal);
        MakeExecutable(python);
        Assert.Contains($"'{python}' does not say where its PyTorch is: it has no module torch.", await Fail("use-libtorch", python), StringComparison.Ordinal);

        File.Delete(Path.Combine(Libraries, "libc10.so"));
        await File.WriteAllTextAsync(Path.Combine(Libraries, "libc10.so"), "no library");
        Assert.Contains($"The libraries in '{Libraries}' (PyTorch 2.10.0+cpu) cannot be loaded: ", await Fail("use-libtorch", Libraries), StringComparison.Ordinal);
    }

    [TorchSharpOnGlibcFact]
    public async Task A_second_libtorch_is_refused()
    {
        string libraries = Path.GetDirectoryName(RuntimeTests.LibraryPath)!;
        // This program has a libtorch of its own.
        var (exitCode, _, errors) = await Program.Child.RunWithAsync([], "use-libtorch", Libraries);
        Assert.NotEqual(0, exitCode);
        Assert.Contains($"The application has a libtorch of its own, '{Path.Combine(libraries, "libtorch_cpu.so")}', so that the libraries in '{Libraries}' cannot be used.", errors, StringComparison.Ordinal);
        (exitCode, _, errors) = await Program.Child.RunWithAsync([], "use-libtorch-late", Libraries);
        Assert.NotEqual(0, exitCode);
        Assert.Contains("this process uses those of the application. Choose them before TorchSharp is used for the first time.", errors, StringComparison.Ordinal);
    }

    private static void MakeExecutable(string file)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }

    private async Task<string> Fail(params string[] arguments)
    {
        var (exitCode, _, errors) = await Program.Child.RunInAsync(_program.Path, arguments);
        Assert.NotEqual(0, exitCode);
        return errors;
    }
}
