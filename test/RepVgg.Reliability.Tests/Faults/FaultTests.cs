using RepVgg.Runtime.Files;
using RepVgg.Testing;
using Xunit;
using Xunit.Abstractions;

namespace RepVgg.Reliability.Tests.Faults;

/// <summary>A full disk, and other failures of the file system.</summary>
public class FaultTests(ITestOutputHelper output)
{
    [PreloadFact]
    public async Task Every_write_can_fail_and_the_old_file_stays()
    {
        using var folder = new TemporaryFolder();
        var variables = new Dictionary<string, string?>
        {
            ["TMPDIR"] = folder.Path,
            // The runtime's own file for code is as large as the address space, beyond the limit.
            ["DOTNET_EnableWriteXorExecute"] = "0",
        };
        string library = folder.File("faults.so");
        PreloadedLibrary.Compile(Path.Combine(AppContext.BaseDirectory, "faults.c"), library);
        variables["LD_PRELOAD"] = variables[SystemFaults.Variable] = library;
        var (exitCode, log, errors) = await new ChildProgram(typeof(FaultTests).Assembly).RunWithAsync(variables, "child", "faults");
        output.WriteLine(log);
        Assert.True(exitCode == 0, $"{log}\n{errors}");
    }

    [Fact]
    public void A_target_that_becomes_a_folder_meanwhile_is_an_error_and_nothing_remains()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("target");
        var error = Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.WriteByte(1);
            Directory.CreateDirectory(path);
        }));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void A_folder_that_disappears_meanwhile_is_an_error()
    {
        using var folder = new TemporaryFolder();
        string inner = folder.File("inner"), path = Path.Combine(inner, "target");
        Directory.CreateDirectory(inner);
        var error = Assert.ThrowsAny<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.WriteByte(1);
            Directory.Move(inner, folder.File("moved"));
        }));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
    }
}
