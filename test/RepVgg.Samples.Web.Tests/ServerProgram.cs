using System.Diagnostics;
using System.Reflection;
using System.Text;

namespace RepVgg.Samples.Web.Tests;

/// <summary>The server as a user starts it: <c>dotnet run</c> in a process of its own, on a free port.</summary>
internal sealed class ServerProgram : IDisposable
{
    private const string Announcement = "Now listening on: ";

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly TaskCompletionSource<Uri> _address = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private ServerProgram(string[] arguments)
    {
        string[] run = ["run", "--no-build", "--configuration", Metadata("Configuration"), "--project", Metadata("ServerProject"), "--"];
        _process = new Process
        {
            StartInfo = new ProcessStartInfo("dotnet", [.. run, "--urls", "http://127.0.0.1:0", .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true },
            EnableRaisingEvents = true,
        };
        _process.OutputDataReceived += (_, line) => Read(line.Data);
        _process.ErrorDataReceived += (_, line) => Read(line.Data);
        _process.Exited += (_, _) => _address.TrySetException(new InvalidOperationException($"The server ended: {Output}"));
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Starts the server and waits until it listens.</summary>
    /// <returns>The server and the address of its page.</returns>
    public static async Task<(ServerProgram Server, Uri Address)> StartAsync(params string[] arguments)
    {
        var server = new ServerProgram(arguments);
        try
        {
            return (server, await server._address.Task.WaitAsync(TimeSpan.FromMinutes(3)));
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        // The server is a child of dotnet run.
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
    }

    private string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    private void Read(string? line)
    {
        lock (_output)
            _output.AppendLine(line);
        int start = line?.IndexOf(Announcement, StringComparison.Ordinal) ?? -1;
        if (start >= 0)
            _address.TrySetResult(new Uri(line![(start + Announcement.Length)..]));
    }

    private static string Metadata(string key) =>
        typeof(ServerProgram).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == key).Value!;
}
